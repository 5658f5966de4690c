"""`mmgen serve`: its settings, what it refuses, and a server of its own process that ends well."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import pair
from cli_call import MMGEN, Call

from mmgen.cli.serve import read


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("port: 9000\ndrain_s: 2\nmax_body: 1 MiB\n")
    settings = read({"port": 9001}, file)
    assert (settings.port, settings.drain_s, settings.max_body, settings.host) == (9001, 2.0, 2**20, "127.0.0.1")


def test_other_machines_need_keys(call: Call) -> None:
    done = call("serve", "--host", "0.0.0.0")
    assert (done.code, done.err.count("\n")) == (2, 1) and "mmgen keys add" in done.err


@pytest.mark.parametrize(
    ("given", "told"), [(("--model", "nowhere"), 'model "nowhere"'), (("--config", "nowhere.yaml"), "nowhere.yaml")]
)
def test_what_is_refused(call: Call, given: tuple[str, ...], told: str) -> None:
    done = call("serve", *given)
    assert done.code == 2 and told in done.err and done.err.count("\n") == 1


def test_a_server_with_its_page(tiny_home: Path, tmp_path: Path) -> None:
    """Over TLS, with a certificate that has expired, of which it tells."""
    from mmgen.serve import http_server

    with http_server.listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    certfile, keyfile = pair(tmp_path, days=(-2, -1))
    options = ("--ssl-certfile", str(certfile), "--ssl-keyfile", str(keyfile))
    process = subprocess.Popen(
        [*MMGEN, "serve", "--port", str(port), "--no-history", "--ui", *options], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env={**os.environ, "MMGEN_HOME": str(tiny_home)},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        address: Any = f"https://127.0.0.1:{port}"
        assert process.stdout.readline() == f"{address}/ui\n"
        assert process.stdout.readline().startswith(f"{address}/v1 - for this machine alone, as there are no keys")
        assert httpx.get(f"{address}/readyz", timeout=20, verify=False).json() == {"status": "ok"}
        page = httpx.get(address, follow_redirects=True, timeout=20, verify=False)
        assert page.status_code == 200 and page.url.path == "/ui/" and "gradio" in page.text
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and err.startswith(f"certificate {certfile} has expired on")
    others = err.splitlines()[1:]  # of the page, which says which model stands in for one that is not here
    assert all("embedded:smollm2 is not on this machine; get it with" in line for line in others) and len(others) < 2


def test_it_imports_nothing_heavy() -> None:
    heavy = "torch transformers diffusers gradio opentelemetry.sdk"
    told = f"import sys, mmgen.serve.app; print([m for m in '{heavy}'.split() if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout == "[]\n"
