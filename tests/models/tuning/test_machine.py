"""What choices are keyed by, and what a processor lacks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmgen.models.cpu import build
from mmgen.models.tuning import machine


def test_a_cap_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    plain = machine.described("cpu")
    assert {"processor", "flags", "torch", "threads", "mmgen", "kernels"} <= plain.keys() and "caps" not in plain
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert machine.described("cpu")["caps"] == "ONEDNN_MAX_CPU_ISA=AVX2"


def test_what_an_avx2_processor_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    (first, *_) = machine.fallbacks()
    assert first.startswith("torch computes with AVX2, without AVX-512")


ON_AVX2 = """
import torch
from mmgen import hub
from mmgen.models.diffusion.denoiser import DenoiserModel
from mmgen.models.encoders.sentence_encoder import load
from mmgen.models.tuning import machine
assert len(machine.fallbacks()) == 2 and "AVX2" in machine.described("cpu")["torch"], machine.fallbacks()
vectors = [load(hub.resolve("embedded:minilm"), precision=name).embed_text(["a cat"]) for name in ("fp32", "bf16", "int8")]
assert [(vectors[0] * one).sum() > 0.99 for one in vectors] == [True] * 3
exact = None
for name in ("fp32", "bf16"):
    model = DenoiserModel.load(hub.resolve("embedded:emoji"), precision=name)
    model.pack()
    x = torch.randn(2, *model.latent_shape(64, 64), generator=torch.Generator().manual_seed(0))
    found = model.predict(x, torch.full((2,), 500), model.embed_prompts(["a cat", ""]))
    exact = found if exact is None else exact
    assert (found - exact).norm() < 0.01 * exact.norm()
import mmgen
from mmgen.cli import doctor
told = [f"{one.about}: {one.found}" for check in (doctor.device, doctor.precision) for one in check()]
assert any(line.startswith("kernels: torch's alone") for line in told), told
assert sum(line.startswith("processor: ") for line in told) == 2, told
for name in ("", "#int8", "#int4"):
    write = mmgen.pipeline("text", model="embedded:books" + name)
    assert len(write("Call me", max_tokens=12, temperature=0).text) > 12, name
mmgen.Runtime.shared().close()
"""


@pytest.mark.slow
def test_a_processor_without_avx512_runs_every_precision() -> None:
    """As far as oneDNN, torch and our kernels can be kept from it; doctor tells what it lacks."""
    caps = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MMGEN_NATIVE": "0", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", ON_AVX2], env=os.environ | caps, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("source", build.SOURCES, ids=lambda path: path.name)
def test_on_arm_the_kernels_say_what_they_need(source: Path) -> None:
    """They are not compiled there (build.py asks for AVX2 first); whoever does it all the same is told in one line."""
    cross = shutil.which("aarch64-linux-gnu-gcc")
    if cross is None:
        pytest.skip("aarch64-linux-gnu-gcc is missing; apt-get install gcc-aarch64-linux-gnu")
    done = subprocess.run(
        [cross, "-c", "-fmax-errors=1", *build.FLAGS, str(source), "-o", os.devnull], capture_output=True, text=True
    )
    assert done.returncode and "the kernels need x86-64; torch computes elsewhere" in done.stderr, done.stderr


def test_arm_is_told_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert machine.fallbacks()[0].startswith("an Arm processor: torch computes")
