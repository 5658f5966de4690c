"""What other people's tools say of the files: hadolint, Kubernetes' own schemas, and Helm. From the extra `deploy`."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mmgen.config import load
from mmgen.serve.accounts.keys_file import KeysFile
from mmgen.serve.settings import ServeConfig
from mmgen.stores.keys import KEY

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm"
VERSIONS = ("1.30", "1.37")
UNKNOWN = {"Kustomization", "ServiceMonitor"}
"""Kinds that are not Kubernetes' own."""
KEY_OF_ANN = "mm-" + "a" * 43
VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "keys": {"keys": {"list": [{"name": "ann", "key": KEY_OF_ANN, "quota": 600, "scopes": ["chat"]}]}},
    "all": {
        "keys": {"existingSecret": "mine"},
        "tls": {"secretName": "certificate"},
        "gpu": {"enabled": True, "runtimeClassName": "nvidia"},
        "autoscaling": {"enabled": True},
        "ingress": {"enabled": True, "className": "nginx", "tlsSecretName": "certificate"},
        "serviceMonitor": {"enabled": True, "keySecret": {"name": "metrics"}},
        "pull": ["embedded:smollm2"],
        "env": [{"name": "OTEL_TRACES_SAMPLER", "value": "always_off"}],
        "config": {"otel": "http://collector:4318", "audit": "/data/audit.jsonl"},
        "nodeSelector": {"gpu": "yes"},
        "podAnnotations": {"a": "b"},
        "imagePullSecrets": [{"name": "registry"}],
    },
    "no volume": {"persistence": {"enabled": False}, "ui": False},
}
pytestmark = pytest.mark.slow


def rendered(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Kind to manifest."""
    helm = pytest.importorskip("helm_python", reason="pip install '.[deploy]'")
    texts = helm.Chart.load(CHART).render(values=values, name="demo", namespace="ours")
    found = [one for path, text in texts.items() if path.endswith(".yaml") for one in yaml.safe_load_all(text) if one]
    return {one["kind"]: one for one in found}


def check(manifest: dict[str, Any]) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install '.[deploy]'").validate
    if manifest["kind"] not in UNKNOWN:
        for version in VERSIONS:
            validate(manifest, version, strict=True)


def test_hadolint() -> None:
    tool = Path(sys.executable).with_name("hadolint")
    if not tool.exists():
        pytest.skip("pip install '.[deploy]'")
    done = subprocess.run([tool, ROOT / "Containerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_manifests_by_kubernetes_schemas() -> None:
    for path in sorted((ROOT / "deploy" / "kubernetes").glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            check(manifest)
    validate = pytest.importorskip("kubernetes_validate")
    with pytest.raises(validate.ValidationError):
        validate.validate(
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"port": 1}}, "1.37", strict=True
        )


@pytest.mark.parametrize("name", VALUES)
def test_the_chart(name: str) -> None:
    helm = pytest.importorskip("helm_python", reason="pip install '.[deploy]'")
    report = helm.lint(CHART, VALUES[name], strict=True)
    assert not report["errors"] and all(one["severity"] < 2 for one in report["messages"]), report
    found = rendered(VALUES[name])
    for manifest in found.values():
        check(manifest)
    settings = load(yaml.safe_load(found["ConfigMap"]["data"]["serve.yaml"]), ServeConfig)
    pod = found["StatefulSet"]["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    assert settings.port == server["ports"][0]["containerPort"] and server["securityContext"]["readOnlyRootFilesystem"]
    mounts = {mount["mountPath"] for mount in server["volumeMounts"]}
    for file in (settings.keys_file, settings.ssl_certfile, settings.ssl_keyfile):
        assert file is None or str(file.parent) in mounts
    volumes = {one["name"] for one in pod["volumes"]}
    volumes |= {one["metadata"]["name"] for one in found["StatefulSet"]["spec"].get("volumeClaimTemplates", ())}
    assert {mount["name"] for mount in server["volumeMounts"]} <= volumes


def test_what_values_bring() -> None:
    plain, given, everything = (rendered(VALUES[name]) for name in ("default", "keys", "all"))
    (drawn,) = load(yaml.safe_load(plain["Secret"]["stringData"]["keys.yaml"]), KeysFile).keys
    assert KEY.fullmatch(drawn.key.get_secret_value()) and "admin" in drawn.scopes
    (ann,) = load(yaml.safe_load(given["Secret"]["stringData"]["keys.yaml"]), KeysFile).keys
    assert (ann.name, ann.key.get_secret_value(), ann.quota) == ("ann", KEY_OF_ANN, 600)
    assert "Secret" not in everything and "HorizontalPodAutoscaler" not in plain
    spec = everything["StatefulSet"]["spec"]
    pod, (server,) = spec["template"]["spec"], spec["template"]["spec"]["containers"]
    assert server["image"] == "mmgen:0.1.0-cuda" and server["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert server["resources"]["limits"]["memory"] == "8Gi" and "replicas" not in spec
    assert server["livenessProbe"]["httpGet"]["scheme"] == "HTTPS" and pod["runtimeClassName"] == "nvidia"
    assert pod["initContainers"][0]["args"] == ["pull", "embedded:smollm2"]
    assert everything["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]["target"]["averageValue"] == "20"
    assert everything["ServiceMonitor"]["spec"]["endpoints"][0]["scheme"] == "https"


@pytest.mark.parametrize("values", [
    {"replica": 1},
    {"replicas": 0},
    {"keys": {"list": [{"name": "ann", "key": "short"}]}},
    {"keys": {"list": [{"name": "ann", "key": KEY_OF_ANN, "scopes": ["all"]}]}},
    {"gpu": {"enabled": "yes"}},
])  # fmt: skip
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    helm = pytest.importorskip("helm_python", reason="pip install '.[deploy]'")
    with pytest.raises(helm.HelmValuesError):
        helm.Chart.load(CHART).validate_schema(values)
