"""The image's entry command without an image: nobody's user, a read-only root that holds little more than Python, one volume.

Needs root and mount namespaces, which CI's containers may not give; then it is skipped, and says so.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from built_wheel import ROOT, installed

pytestmark = pytest.mark.slow
CONTAINER = (ROOT / "Containerfile").read_text()
INSIDE = """
set -eu
root=$1; volume=$2; user=$3; shift 3
paths=$1; shift
mount -t tmpfs -o mode=755 tmpfs "$root"
for path in $paths; do
    mkdir -p "$root$path"
    mount --bind "$path" "$root$path"
    mount -o remount,bind,ro "$root$path"
done
mkdir "$root/data" "$root/proc" "$root/dev"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$volume" "$root/data"
mount -o remount,ro "$root"
exec chroot --userspec="$user" --groups= "$root" /usr/bin/env -i "$@"
"""
SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc")


def can_mount() -> bool:
    tried = ("unshare", "--mount", "mount", "--bind", "/usr", "/mnt")
    return os.geteuid() == 0 and bool(shutil.which("unshare")) and not subprocess.run(tried, capture_output=True).returncode


class Box:
    """Runs commands as the image would."""

    def __init__(self, place: Path) -> None:
        self.root, self.volume, self.mmgen = place / "root", place / "volume", installed(place)
        self.root.mkdir()
        self.volume.mkdir()
        (user,) = re.findall(r"^USER (.*)$", CONTAINER, re.MULTILINE)
        os.chown(self.volume, *map(int, user.split(":")))
        shutil.copy(ROOT / "deploy" / "entrypoint.sh", self.mmgen.with_name("mmgen-entrypoint"))
        shutil.copy(ROOT / "deploy" / "health.py", self.mmgen.with_name("mmgen-health"))
        (said,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", CONTAINER, re.MULTILINE)
        image = dict(word.split("=", 1) for word in said.replace("\\\n", " ").split())
        image["PATH"] = image["PATH"].replace("/opt/mmgen/bin", str(self.mmgen.parent))
        paths = " ".join([*filter(os.path.exists, SYSTEM), sys.base_prefix, sysconfig.get_path("purelib"), str(place / "venv")])
        namespace = ("unshare", "--mount", "--propagation", "private", "sh", "-c", INSIDE, "sh")
        variables = (f"{name}={value}" for name, value in image.items())
        self._before = [*namespace, self.root, self.volume, user, paths, *variables]

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen([*self._before, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *command: str) -> tuple[int, str, str]:
        with self.start(*command) as process:
            out, err = process.communicate(timeout=300)
        return process.returncode, out, err


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    if not can_mount():
        pytest.skip("there are no mount namespaces here, or this is not root: the entry command is not tried")
    place = Path(tempfile.mkdtemp(prefix="mmgen-box-", dir="/var/tmp"))  # where others may look in
    place.chmod(0o755)
    yield Box(place)
    shutil.rmtree(place)


def test_it_is_confined(box: Box) -> None:
    assert box.run("id", "-u")[1] == "10001\n"
    for path in ("/x", "/usr/x", str(box.mmgen.with_name("x"))):
        code, _, err = box.run("touch", path)
        assert code and "Read-only file system" in err
    assert box.run("touch", "/data/x")[0] == 0


def test_without_keys_it_says_what_to_do(box: Box) -> None:
    code, out, err = box.run("mmgen-entrypoint", *command())
    assert code == 2 and not out and err.startswith("error: host 0.0.0.0") and "mmgen keys add" in err


def test_a_server_from_start_to_end(box: Box) -> None:
    code, key, err = box.run("mmgen-entrypoint", "keys", "add", "root", "--scopes", "all,admin")
    assert code == 0, err
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address, head = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {key.strip()}"}
    process = box.start("mmgen-entrypoint", *command(), "--port", str(port))
    try:
        until = time.monotonic() + 240
        while not answers(f"{address}/readyz") and time.monotonic() < until:
            assert process.poll() is None, process.communicate()
            time.sleep(0.2)
        body = {"model": "embedded:books", "prompt": "The red apple", "max_tokens": 8}
        done = httpx.post(f"{address}/v1/completions", json=body, headers=head, timeout=240)
        assert done.status_code == 200 and done.json()["usage"]["completion_tokens"] == 8, done.text
        drawn = httpx.post(f"{address}/v1/images/generations", json={"prompt": "a red apple"}, headers=head, timeout=240)
        assert drawn.status_code == 200, drawn.text
        added = httpx.post(f"{address}/v1/stores", json={"name": "notes"}, headers=head, timeout=240)
        assert added.status_code in (200, 201), added.text
        page = httpx.get(f"{address}/ui/", auth=("me", key.strip()), timeout=240)
        assert page.status_code == 200 and "gradio" in page.text
        health = (f"HEALTH_URL={address}/healthz", "python", str(box.mmgen.with_name("mmgen-health")))
        assert box.run(*health)[0] == 0
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    lines = [json.loads(line) for line in err.splitlines()]
    assert any("/v1/completions 200" in line["message"] for line in lines)
    assert not [line for line in lines if line["level"] == "error"]
    assert box.run(*health)[0] == 1
    assert {path.name for path in box.volume.iterdir()} >= {"home", "cache", "tmp", "huggingface"}


def command() -> Sequence[str]:
    """The image's own."""
    said: list[str] = json.loads(re.findall(r"^CMD (\[.*\])$", CONTAINER, re.MULTILINE)[-1])
    return said


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
