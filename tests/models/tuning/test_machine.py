"""What choices are keyed by, and what a processor lacks."""

import pytest
import torch

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
    assert first.startswith("no AVX-512 (torch computes with AVX2)")
