"""Beside llama.cpp, on this machine in the same run: as exact as promised, as small, and not slower.

The peer is compiled once, in a folder of its own; LLAMA_CPP_PYTHON names a Python that has llama-cpp-python already.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PEER = Path.home() / ".cache" / "mmgen-llama-cpp"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def peer() -> str:
    """A Python that has llama-cpp-python."""
    if named := os.environ.get("LLAMA_CPP_PYTHON"):
        return named
    if not (PEER / "bin" / "python").exists() and not (shutil.which("gcc") and shutil.which("g++")):
        pytest.skip("llama.cpp is built from source, and there is no compiler: install gcc and g++, or set LLAMA_CPP_PYTHON")
    from benchmarks.llama_cpp import built

    try:
        return built(PEER)
    except subprocess.CalledProcessError as why:
        shutil.rmtree(PEER, ignore_errors=True)
        pytest.skip(f"llama-cpp-python was not built ({why}); set LLAMA_CPP_PYTHON to a Python that has it")


def test_beside_llama_cpp(peer: str, smollm2: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.llama_cpp", str(smollm2.resolve()), "--python", peer, "--repeats", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3000)
    assert done.returncode == 0, done.stderr
    logits = dict(re.findall(r"^logits, (\w+): mmgen (\S+),", done.stdout, re.M))
    memory = dict(re.findall(r"^memory, (\w+): mmgen .*: (\S+)x, resident", done.stdout, re.M))
    speeds = dict(re.findall(r"^decode, mmgen (\w+): (\S+)x", done.stdout, re.M))
    assert set(logits) == set(memory) == set(speeds) == {"Q4_1", "Q8_0", "Q4_0"}, done.stdout
    assert all(float(one) < 1e-3 for one in logits.values()), done.stdout
    assert all(float(one) < 1.15 for one in memory.values()), done.stdout
    assert all(float(one) > 0.9 for one in speeds.values()), done.stdout
