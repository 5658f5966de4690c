"""The models that are pulled: tests that need the real weights take them from a home that is kept between tests."""

import os
from pathlib import Path

import pytest

KEPT = Path(os.environ.get("MMGEN_TEST_HOME") or Path(__file__).parents[1] / ".demo")
"""`make test` and `make demo` pull into it."""


@pytest.fixture
def smollm2(home: Path) -> Path:
    """embedded:smollm2 in the test's home -> its file."""
    kept = KEPT / "models" / "smollm2"
    if not list(kept.glob("*.gguf")):
        pytest.skip(f"embedded:smollm2 is not in {KEPT}: MMGEN_HOME={KEPT} mmgen pull embedded:smollm2")
    (home / "models").mkdir(parents=True, exist_ok=True)
    (home / "models" / "smollm2").symlink_to(kept.resolve())
    return next((home / "models" / "smollm2").glob("*.gguf"))
