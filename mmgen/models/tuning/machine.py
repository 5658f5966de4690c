"""What decides how fast a precision is: the processor's instructions, threads and libraries. Loads no model."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

from mmgen.models.cpu import build

FLAGS = (
    "avx2", "fma", "avx_vnni", "avx_ne_convert", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile",
    "amx_int8", "amx_bf16", "amx_fp16", "asimd", "asimddp", "bf16", "i8mm", "sve",
)  # fmt: skip
"""Instructions of x86 and Arm that matrix products are made of, as Linux lists them."""
ARM = ("aarch64", "arm64")
CAPS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MMGEN_NATIVE")
"""Environment variables that keep oneDNN, torch and our own kernels from some of them."""


def described(device: str) -> dict[str, str]:
    """The machine as choices are keyed by it: a choice counts as long as all of this is the same."""
    caps = " ".join(f"{name}={os.environ[name]}" for name in CAPS if os.environ.get(name))
    return {
        "device": device,
        "processor": processor(),
        "flags": " ".join(flags()),
        "torch": f"{torch.__version__}, {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(torch.get_num_threads()),
        "mmgen": version("mmgen"),
        "kernels": getattr(build.library(), "stem", "none"),
        **({"caps": caps} if caps else {}),
    }


def processor() -> str:
    """Its name, as it tells it."""
    return _told("model name") or platform.processor() or platform.machine()


def flags() -> list[str]:
    """Those of FLAGS that it has; empty where the system does not tell."""
    found = set((_told("flags") or _told("Features")).split())
    return [flag for flag in FLAGS if flag in found]


def fallbacks() -> list[str]:
    """What this processor lacks, and what is done instead; empty: nothing."""
    capability = torch.backends.cpu.get_cpu_capability()
    told = []
    if platform.machine() in ARM:
        told.append(f"an Arm processor: torch computes with {capability}, as our kernels are for x86-64")
    elif not capability.startswith(("AVX512", "AMX")):
        told.append(
            f"torch computes with {capability}, without AVX-512: products take twice as long, int8's inputs have 6 bits"
        )
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        told.append("oneDNN has no bfloat16 products here: #bf16 runs, slowly, through torch's own")
    return told


def _told(name: str) -> str:
    """The first line of that name in /proc/cpuinfo; empty: there is none."""
    path = Path("/proc/cpuinfo")
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
