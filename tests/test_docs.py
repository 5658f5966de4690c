"""What README and docs show works: every block parses, and runs in its page's order unless it is marked; links lead somewhere.

A comment before a block says what it needs: `<!-- test: network -->` and `<!-- test: gpu -->` are only parsed, `slow` is left
to the slow suite, a `server` goes on running while the page's later blocks are tried. A block with a title is that file; a
plugin that is installed from a folder is put on the path.
"""

import ast
import importlib.util
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import warm_python
import yaml
from pulled import KEPT

from mmgen.cli import commands
from mmgen.config import RuntimeConfig
from mmgen.plugins import registry
from mmgen.serve.settings import ServeConfig

ROOT = Path(__file__).parents[1]
EXAMPLE = "examples/plugins/mmgen_pixel/README.md"
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    EXAMPLE,
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
]
BLOCK = re.compile(r"^(?:<!-- test: ([\w ]+) -->\n)?```(\w+)(?: title=\"(.+?)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[\w-]+)?\)")
LANGUAGES = {"shell": "shell", "sh": "shell", "bash": "shell", "python": "python", "py": "python"}
OURS = {*commands.OWN, *registry().pipelines.names()}
MARKS = {"network", "gpu", "slow", "server", "pulled"}  # pulled: where embedded:smollm2 is
UNTRIED = {"network", "gpu"}
GENERATED = re.compile(r"(?:\.\./)*(?:reference/|models/\w|contributing\.md|changelog\.md)")  # see docs/reference_pages.py
SECONDS = 600  # for a block, on a machine that does other things too
PORT = "8000"  # what the pages say; the tests take a free one


@dataclass(frozen=True)
class Block:
    marks: frozenset[str]
    language: str  # shell, python, or what else stands behind the fence
    file: str  # its title: what it is to be written to
    code: str


def blocks(page: str) -> list[Block]:
    found = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return [Block(frozenset(marks.split()), LANGUAGES.get(kind, kind), title, code) for marks, kind, title, code in found]


def commands_of(code: str) -> Iterator[list[str]]:
    """The words of each command of a shell block; what only a shell understands ends one."""
    for line in code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words:
            end = next((i for i, word in enumerate(words) if word in ("|", ">", "&&", "&", ";")), len(words))
            yield words[:end]
            words = words[end + 1 :]


def installed(block: Block) -> str | None:
    """The folder of the plugin that a block installs."""
    found = re.match(r"pip install (\./|examples/)(\S+)$", block.code.splitlines()[0]) if block.language == "shell" else None
    return None if found is None else found[1] + found[2]


def check_command(words: list[str]) -> None:
    """Raises if mmgen has no such command or option, or if a benchmark or a target of make is not there."""
    if words[0] == "mmgen" and len(words) > 1 and not {"--help", "--version"} & set(words):
        parse(commands.load(words[1]), words[1:])
    elif words[0] == "python" and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file()
    elif words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in words[1:] if "=" not in target)


def parse(command: Any, words: list[str]) -> None:
    name, *rest = words
    if below := getattr(command, "commands", None):
        assert rest, f"{name} needs a command"
        parse(below[rest[0]], rest)
    else:
        command.make_context(name, list(rest))


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_well_formed(page: str) -> None:
    """Those that need a network or a GPU as well: every option of every `mmgen` command exists."""
    fences = len(re.findall(r"^```\w", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE))
    assert len(blocks(page)) == fences, "a fence that the tests cannot read"
    plugged = any(installed(block) for block in blocks(page))  # with commands of its own
    for block in blocks(page):
        assert block.marks <= MARKS
        if block.language == "python":
            ast.parse(block.code)
        elif block.language == "toml":
            tomllib.loads(block.code)
        elif block.language == "yaml":
            yaml.safe_load(block.code)
        elif block.language == "shell":
            subprocess.run(["bash", "-n", "-c", block.code], check=True)
            for words in commands_of(block.code):
                if not plugged or words[:1] != ["mmgen"] or words[1] in OURS:
                    check_command(words)


class Reading:
    """Somebody who does what a page says, in a folder and a home of their own."""

    def __init__(self, folder: Path, slow: bool, warm: Path) -> None:
        self.folder = folder / "checkout"
        self.folder.mkdir()
        for name in ("assets", "configs", "deploy", "examples", "benchmarks"):  # as in a checkout
            (self.folder / name).symlink_to(ROOT / name)
        path = os.pathsep.join([str(warm), str(Path(sys.executable).parent), os.environ["PATH"]])
        self.environment = {**os.environ, "PATH": path, "MMGEN_HOME": str(folder / "home")}
        self.passed_over = UNTRIED if slow else {*UNTRIED, "slow"}
        if not (KEPT / "models" / "smollm2").is_dir():
            self.passed_over = {*self.passed_over, "pulled"}
        else:
            (folder / "home").mkdir()
            (folder / "home" / "models").symlink_to((KEPT / "models").resolve())
        self.server: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])

    def do(self, block: Block) -> None:
        if block.file:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
        elif (plugin := installed(block)) is not None:
            self.install(self.folder / plugin)
        elif block.marks & self.passed_over:
            pass
        elif "server" in block.marks:
            self.serve(block.code)
        elif block.language in ("shell", "python"):
            command = ["bash", "-euo", "pipefail", "-c"] if block.language == "shell" else ["python", "-c"]
            done = subprocess.run(
                [*command, block.code.replace(PORT, self.port)],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
            )
            assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"

    def install(self, package: Path) -> None:
        """Puts a plugin's package where Python finds it, with its entry points, as `pip install` would."""
        project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        name, points = project["name"].replace("-", "_"), project["entry-points"]["mmgen.plugins"]
        info = self.folder / "installed" / f"{name}-{project['version']}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {project['version']}\n", encoding="utf-8"
        )
        lines = ["[mmgen.plugins]", *(f"{point} = {target}" for point, target in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        found = [str(info.parent), str(package), self.environment.get("PYTHONPATH", "")]
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, found))

    def serve(self, code: str) -> None:
        """One at a time; returns once it answers, whatever it says."""
        self.leave()
        command = [*shlex.split(code), "--port", self.port]
        self.server = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL)
        for _ in range(10 * SECONDS):
            try:
                urlopen(f"http://127.0.0.1:{self.port}", timeout=30).close()
                return
            except HTTPError:
                return
            except OSError:
                assert self.server.poll() is None, code
                time.sleep(0.1)
        pytest.fail(f"not ready within {SECONDS} s: {code}")

    def leave(self) -> None:
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(SECONDS)
            self.server = None


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with warm_python.commands(tmp_path_factory.mktemp("warm")) as folder:
        yield folder


@pytest.fixture
def reading(tmp_path: Path, warm: Path, request: pytest.FixtureRequest) -> Iterator[Reading]:
    made = Reading(tmp_path, getattr(request, "param", False), warm)
    yield made
    made.leave()


def test_a_warm_start_is_as_a_real_one(warm: Path, tmp_path: Path) -> None:
    """Words, folder, environment, streams and modules; exit codes and signals."""
    told = "import json, os, sys; print(json.dumps([sys.argv, os.getcwd(), dict(os.environ), sys.path, input(), __name__])); "
    ours = "print([name for name in sys.modules if name.startswith('mmgen')], file=sys.stderr); sys.exit(7)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), "/nowhere"]), "MORE": "1"}
    done = [
        subprocess.run(
            [python, "-c", told + ours, "a", "b"], cwd=tmp_path, env=environment, input="said", capture_output=True, text=True
        )
        for python in (warm / "python", sys.executable)
    ]
    assert done[0].stdout == done[1].stdout and done[0].stderr == done[1].stderr == "[]\n"
    assert [one.returncode for one in done] == [7, 7]
    waiting = "import time; print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([warm / "python", "-c", waiting], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stdout.readline() == b"1\n"
        child.terminate()
        assert child.wait(30) == -signal.SIGTERM


def runs(block: Block) -> bool:
    return bool(block.file) or (block.language in ("shell", "python") and not block.marks & {*UNTRIED, "slow"})


@pytest.mark.timeout(2 * SECONDS)
@pytest.mark.parametrize("page", [page for page in PAGES if any(runs(block) for block in blocks(page))])
def test_page(page: str, reading: Reading) -> None:
    for block in blocks(page):
        reading.do(block)


@pytest.mark.slow
@pytest.mark.timeout(6 * SECONDS)
@pytest.mark.parametrize("reading", [True], indirect=True, ids=["slow"])
@pytest.mark.parametrize("page", [page for page in PAGES if any("slow" in block.marks for block in blocks(page))])
def test_whole_page(page: str, reading: Reading) -> None:
    for block in blocks(page):
        reading.do(block)


@pytest.fixture(scope="module")
def reference() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("reference_pages", ROOT / "docs" / "reference_pages.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[str, str] = module.pages()
    return pages


def test_the_reference_is_whole(reference: dict[str, str]) -> None:
    assert all(f"### mmgen {name}\n" in reference["reference/commands.md"] for name in OURS)
    assert "| `QUESTION` |" in reference["reference/commands.md"] and "`--seed`" in reference["reference/commands.md"]
    keys = [*RuntimeConfig.model_fields, *ServeConfig.model_fields, "schedule.warmup"]
    assert all(f"| `{key}` |" in reference["reference/configuration.md"] for key in keys)
    gap = re.search(
        r"^\| `max_gap_ms` \| `float or None` \| `30.0` \| (\w+ .*) \|$", reference["reference/configuration.md"], re.MULTILINE
    )
    assert gap is not None, "a field's type, default and comment"
    assert "### POST /v1/images/generations\n" in reference["reference/http.md"]
    assert "| `mmgen_jobs_total` | counter | `runner`, `status` |" in reference["reference/metrics.md"]
    assert "::: mmgen.pipelines.rag_text.RagText\n" in reference["reference/python.md"]
    assert "](reader/loss.png)" in reference["models/reader.md"] and "](architecture.md)" in reference["contributing.md"]


def test_the_demo_is_shown() -> None:
    assert any("make demo" in block.code for block in blocks("README.md"))
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.slow
def test_make_demo(tmp_path: Path) -> None:
    """In a fresh clone; needs a package index. The second time nothing is set up and nothing is read again."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "clone")], check=True)
    subprocess.run(["make", "demo"], cwd=tmp_path / "clone", check=True, capture_output=True, timeout=1800)
    done = subprocess.run(["make", "demo"], cwd=tmp_path / "clone", check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.count("\n> ") == 3 and "0 documents added" in done.stdout and "Not in the documents." in done.stdout
    assert "pip install" not in done.stdout


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    links = [link for link in LINK.findall(path.read_text(encoding="utf-8")) if not GENERATED.match(link)]
    assert not [link for link in links if not (path.parent / link).exists()]
