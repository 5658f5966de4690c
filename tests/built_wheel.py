"""The wheel of this checkout in an environment of its own, whose dependencies are this environment's."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What it prints; nothing of mmgen or Python is inherited."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MMGEN", "PYTHON"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(place: Path, *kinds: str, **environment: str) -> list[Path]:
    """Distributions of this checkout: "--wheel", "--sdist", or both, the wheel from the sdist."""
    run(sys.executable, "-m", "build", *kinds, "--no-isolation", "--outdir", place, ROOT, cwd=place, **environment)
    return sorted(place.glob("mmgen-*"))


def installed(place: Path) -> Path:
    """The `mmgen` command of an empty environment in `place`. Its dependencies are this one's, by path."""
    (wheel,) = build(place, "--wheel")
    run(sys.executable, "-m", "venv", "--without-pip", place / "venv", cwd=place)
    python = place / "venv" / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=place)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place).strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # its own .pth files are not read
    return place / "venv" / "bin" / "mmgen"
