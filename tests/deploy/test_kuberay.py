"""deploy/kuberay: what it says agrees with the server, and has the shape that KubeRay's operator takes."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mmgen.config import load
from mmgen.serve.auth import OPEN
from mmgen.serve.cluster.placement import Node, check
from mmgen.serve.settings import ServeConfig

TEXT = (Path(__file__).parents[2] / "deploy" / "kuberay" / "mmgen.yaml").read_text()
MANIFESTS = {one["kind"]: one for one in yaml.safe_load_all(TEXT)}
CLUSTER = MANIFESTS["RayCluster"]


def closed(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


PARAMS = {"type": "object", "additionalProperties": {"type": "string"}}  # numbers are refused: they must be quoted
POD = closed(("spec",), metadata={"type": "object"}, spec={"type": "object", "required": ["containers"]})
WORKERS = closed(
    ("groupName", "rayStartParams", "template"), groupName={"type": "string"}, replicas={"type": "integer"},
    minReplicas={"type": "integer"}, maxReplicas={"type": "integer"}, numOfHosts={"type": "integer"},
    rayStartParams=PARAMS, template=POD, scaleStrategy={"type": "object"},
)  # fmt: skip
HEAD = closed(
    ("rayStartParams", "template"), serviceType={"type": "string"}, headService={"type": "object"},
    enableIngress={"type": "boolean"}, rayStartParams=PARAMS, template=POD,
)  # fmt: skip
SCHEMA = closed(
    ("apiVersion", "kind", "metadata", "spec"),
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayCluster"},
    metadata={"type": "object", "required": ["name"]},
    spec=closed(
        ("headGroupSpec",), headGroupSpec=HEAD, workerGroupSpecs={"type": "array", "items": WORKERS},
        rayVersion={"type": "string"}, enableInTreeAutoscaling={"type": "boolean"}, autoscalerOptions={"type": "object"},
        headServiceAnnotations={"type": "object"}, suspend={"type": "boolean"},
    ),
)  # fmt: skip
"""The fields of ray.io/v1's RayCluster; pods are Kubernetes' own, see below."""


def pods() -> list[dict[str, Any]]:
    spec = CLUSTER["spec"]
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]


def test_the_cluster_has_the_fields_of_its_kind() -> None:
    jsonschema.validate(CLUSTER, SCHEMA)
    wrong = {**CLUSTER, "spec": {**CLUSTER["spec"], "workerGroups": []}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


def test_it_agrees_with_the_server() -> None:
    settings = load(yaml.safe_load(MANIFESTS["ConfigMap"]["data"]["serve.yaml"]), ServeConfig)
    assert settings.cluster is not None
    head, workers = CLUSTER["spec"]["headGroupSpec"], CLUSTER["spec"]["workerGroupSpecs"][0]
    (container,) = head["template"]["spec"]["containers"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports["http"] == settings.port == MANIFESTS["Service"]["spec"]["ports"][0]["port"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/etc/mmgen/serve.yaml", "/etc/mmgen/keys", "/data", "/tmp"} <= mounts
    assert str(settings.keys_file) == "/etc/mmgen/keys/keys.yaml"
    probes = [container[name]["httpGet"]["path"] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert set(probes) == set(OPEN)
    assert head["template"]["spec"]["terminationGracePeriodSeconds"] > settings.drain_s
    each = float(workers["rayStartParams"]["num-cpus"])
    groups = settings.cluster.named()
    check(groups, [Node("head", 0, 0, 0), Node("worker", each, 0, 8 * 2**30)], {})
    assert sum(group.max * group.cpus for group in groups.values()) <= workers["maxReplicas"] * each
    assert sum(group.min * group.cpus for group in groups.values()) <= workers["minReplicas"] * each
    name = CLUSTER["metadata"]["name"]
    assert MANIFESTS["Service"]["spec"]["selector"] == {"ray.io/cluster": name, "ray.io/node-type": "head"}


def test_pods_run_as_nobody_and_start_ray_themselves() -> None:
    assert CLUSTER["metadata"]["annotations"] == {"ray.io/overwrite-container-cmd": "true"}
    for pod in pods():
        (container,) = pod["containers"]
        assert "$KUBERAY_GEN_RAY_START_CMD" in container["args"][0]
        assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["readOnlyRootFilesystem"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.slow
def test_pods_by_kubernetes_schemas() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="pip install '.[deploy]'").validate
    for number, pod in enumerate(pods()):
        manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}"}, "spec": pod}
        validate(manifest, "1.30", strict=True)
    for kind in ("ConfigMap", "Service", "PersistentVolumeClaim"):
        validate(MANIFESTS[kind], "1.30", strict=True)
