"""The files to run a server in containers: what they say agrees with each other and with the server.

Of compose.yaml and the Containerfile these are checks of ours; test_tools.py has those of other people's tools.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmgen.config import load
from mmgen.serve.auth import OPEN
from mmgen.serve.settings import ServeConfig

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CONTAINER = (ROOT / "Containerfile").read_text()
MANIFESTS = [one for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for one in yaml.safe_load_all(path.read_text())]


def manifest(kind: str) -> dict[str, Any]:
    (found,) = [one for one in MANIFESTS if one["kind"] == kind]
    return found


def said(word: str, text: str = CONTAINER) -> str:
    """The last instruction of that name."""
    return re.findall(rf"^{word} ((?:.*\\\n)*.*)$", text, re.MULTILINE)[-1].replace("\\\n", " ")


def test_the_image_runs_as_nobody_and_writes_one_volume() -> None:
    assert said("USER") == "10001:10001" and said("VOLUME") == "/data" and said("WORKDIR") == "/data"
    variables = dict(word.split("=", 1) for word in said("ENV").split())
    places = {name: variables[name] for name in ("HOME", "MMGEN_HOME", "HF_HOME", "XDG_CACHE_HOME", "TMPDIR")}
    assert all(path.startswith("/data") for path in places.values())
    script = (DEPLOY / "entrypoint.sh").read_text()
    assert all(f'"${name}"' in script for name in places if name != "HOME"), "made before the server starts"
    assert json.loads(said("CMD"))[0] == "serve" and json.loads(said("ENTRYPOINT")) == ["mmgen-entrypoint"]
    assert "HEALTHCHECK" in CONTAINER and not re.search(r"^ADD|:latest", CONTAINER, re.MULTILINE)


def test_what_is_copied_exists_and_is_sent_to_the_builder() -> None:
    copied = [word for line in re.findall(r"^COPY (.*)$", CONTAINER, re.MULTILINE) if "--from" not in line
              for word in line.split()[:-1] if not word.startswith("--")]  # fmt: skip
    sent = (ROOT / ".containerignore").read_text()
    assert (ROOT / ".dockerignore").read_text() == sent
    for name in copied:
        assert (ROOT / name).exists() and f"!{name}\n" in sent
    assert sent.startswith("*\n") and len(re.findall("^!", sent, re.MULTILINE)) == len(copied)


def test_the_manifests_agree_with_the_server_and_the_image() -> None:
    settings = load(yaml.safe_load(manifest("ConfigMap")["data"]["serve.yaml"]), ServeConfig)
    pod = manifest("StatefulSet")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    assert settings.port == container["ports"][0]["containerPort"] == int(said("EXPOSE"))
    assert str(settings.keys_file) == "/etc/mmgen/keys/keys.yaml" and mounts["/etc/mmgen/keys"]["readOnly"]
    assert container["args"][container["args"].index("--config") + 1] in mounts
    assert str(settings.audit).startswith("/data/") and not mounts["/data"].get("readOnly")
    assert f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" == said("USER")
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
    probes = [container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert set(probes) == set(OPEN)
    assert pod["terminationGracePeriodSeconds"] > settings.drain_s
    (metric,) = manifest("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "mmgen_queue_seconds"
    listed = manifest("Kustomization")["resources"]
    assert sorted([*listed, "kustomization.yaml"]) == sorted(path.name for path in (DEPLOY / "kubernetes").iterdir())


def test_compose() -> None:
    found = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert set(found) == {"x-server", "services", "volumes"}
    known = {"image", "build", "profiles", "deploy", "read_only", "cap_drop", "security_opt", "restart", "stop_grace_period",
             "ports", "volumes"}  # fmt: skip
    variants = {"mmgen": "cpu", "mmgen-cuda": "cuda"}
    for name, service in found["services"].items():
        assert set(service) <= known and service["read_only"] and service["cap_drop"] == ["ALL"]
        assert service["build"]["args"] == {"VARIANT": variants[name]} and (ROOT / service["build"]["dockerfile"]).is_file()
        assert service["volumes"] == [f"data:{said('VOLUME')}"] and "data" in found["volumes"]
        assert service["ports"] == [f"127.0.0.1:{said('EXPOSE')}:{said('EXPOSE')}"], "for this machine alone until it has TLS"
        assert int(service["stop_grace_period"].removesuffix("s")) > ServeConfig().drain_s
    assert "cuda" in found["services"]["mmgen-cuda"]["profiles"], "both have one port, so that only one of them is started"


def test_the_charts_values_have_a_schema() -> None:
    def compare(values: Any, schema: Any, where: str) -> None:
        for name, value in values.items():
            assert name in schema["properties"], f"{where}.{name}"
            if isinstance(value, dict) and "properties" in schema["properties"][name]:
                compare(value, schema["properties"][name], f"{where}.{name}")

    schema = json.loads((DEPLOY / "helm" / "values.schema.json").read_text())
    compare(yaml.safe_load((DEPLOY / "helm" / "values.yaml").read_text()), schema, "values")


def test_versions_agree() -> None:
    from mmgen import __version__

    chart = yaml.safe_load((DEPLOY / "helm" / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == __version__


@pytest.mark.parametrize("status", [200, None])
def test_the_health_check(status: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    import runpy
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    monkeypatch.setenv("HEALTH_URL", f"http://127.0.0.1:{server.server_port}/healthz")
    thread = threading.Thread(target=server.handle_request)
    if status is None:
        server.server_close()
    else:
        thread.start()
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(DEPLOY / "health.py"), run_name="__main__")
    if status is None:
        assert "refused" in str(ended.value.code)
    else:
        thread.join()
        server.server_close()
        assert not ended.value.code
