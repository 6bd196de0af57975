"""docker/kuberay.yaml against the operator's published types.

The tables below are `RayClusterSpec`, `HeadGroupSpec`, `WorkerGroupSpec`, `AutoscalerOptions` and `RayJobSpec` of
KubeRay's API ray.io/v1, copied from the operator's Go types (ray-operator/apis/ray/v1), from which its CRDs are generated.
They were read against the CRDs that the operator's chart installs, in an old and a new version: what is required, and the
type of every field that the manifest sets. Pod templates are Kubernetes' own: `make test-kuberay` checks them.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.test_docker import DRAIN

MANIFEST = Path(__file__).parent.parent / "docker" / "kuberay.yaml"
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}
COUNT = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1}
TEMPLATE = {"type": "object", "required": ["spec"]}


def closed(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


HEAD_GROUP = closed(
    ["rayStartParams", "template"],
    serviceType={"type": "string"},
    headService={"type": "object"},
    enableIngress={"type": "boolean"},
    rayStartParams=STRINGS,
    template=TEMPLATE,
)
WORKER_GROUP = closed(
    ["groupName", "minReplicas", "maxReplicas", "rayStartParams", "template"],
    groupName={"type": "string"},
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    numOfHosts=COUNT,
    rayStartParams=STRINGS,
    scaleStrategy={"type": "object"},
    template=TEMPLATE,
)
AUTOSCALER = closed(
    [],
    resources={"type": "object"},
    image={"type": "string"},
    imagePullPolicy={"type": "string"},
    env={"type": "array"},
    envFrom={"type": "array"},
    volumeMounts={"type": "array"},
    securityContext={"type": "object"},
    idleTimeoutSeconds=COUNT,
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
)
AUTH = closed(
    [], mode={"enum": ["disabled", "token"]}, secretName={"type": "string"}, enableK8sTokenAuth={"type": "boolean"}
)
CLUSTER = closed(
    ["headGroupSpec"],
    authOptions=AUTH,
    headGroupSpec=HEAD_GROUP,
    workerGroupSpecs={"type": "array", "items": WORKER_GROUP},
    rayVersion={"type": "string"},
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=AUTOSCALER,
    headServiceAnnotations=STRINGS,
    suspend={"type": "boolean"},
)
JOB = closed(
    [],
    activeDeadlineSeconds=COUNT,
    backoffLimit=COUNT,
    rayClusterSpec=CLUSTER,
    submitterPodTemplate=TEMPLATE,
    metadata=STRINGS,
    clusterSelector=STRINGS,
    submitterConfig=closed([], backoffLimit=COUNT),
    managedBy={"type": "string"},
    entrypoint={"type": "string"},
    runtimeEnvYAML={"type": "string"},
    jobId={"type": "string"},
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
    entrypointResources={"type": "string"},
    entrypointNumCpus={"type": "number"},
    entrypointNumGpus={"type": "number"},
    ttlSecondsAfterFinished=COUNT,
    shutdownAfterJobFinishes={"type": "boolean"},
    suspend={"type": "boolean"},
)
SPECS = {"RayCluster": CLUSTER, "RayJob": JOB}


def documents() -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for document in yaml.safe_load_all(MANIFEST.read_text())}


# of one container; what its pod says beside it holds for containers that an operator adds
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def writable(mounts: list[dict[str, Any]]) -> set[str]:
    return {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}


def pods() -> list[dict[str, Any]]:
    cluster = documents()["RayCluster"]["spec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    templates = [*(group["template"] for group in groups), documents()["RayJob"]["spec"]["submitterPodTemplate"]]
    return [template["spec"] for template in templates]


@pytest.mark.parametrize("kind", sorted(SPECS))
def test_resource_fits_the_operators_types(kind):
    document = documents()[kind]
    assert document["apiVersion"] == "ray.io/v1"
    jsonschema.validate(document["spec"], SPECS[kind])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["headGroupSpec", "rayStartParams", "num-cpus"], 0),  # params are strings: the commonest fault
        (["workerGroupSpecs", 0, "minReplicas"], "1"),
        (["workerGroupSpecs", 0, "maxReplica"], 3),
        (["autoscalerOptions", "upscalingMode"], "Eager"),
    ],
)
def test_tables_refuse_what_the_operator_refuses(path, value):
    spec = copy.deepcopy(documents()["RayCluster"]["spec"])
    inner: Any = spec
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spec, CLUSTER)


def test_cluster_scales_by_itself_in_two_groups():
    spec = documents()["RayCluster"]["spec"]
    assert spec["enableInTreeAutoscaling"] is True
    groups = {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    assert set(groups) == {"cpu", "gpu"}
    for group in groups.values():
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["minReplicas"] < group["maxReplicas"]
    (gpu_worker,) = groups["gpu"]["template"]["spec"]["containers"]
    assert gpu_worker["resources"]["limits"]["nvidia.com/gpu"] == "1"


def test_job_runs_on_that_cluster():
    selected = documents()["RayJob"]["spec"]["clusterSelector"]["ray.io/cluster"]
    assert selected == documents()["RayCluster"]["metadata"]["name"]


def test_pods_are_limited_watched_and_fit_the_standard_named_restricted():
    """Kubernetes' Pod Security Standard: its rules for volumes, users, capabilities and system calls."""
    images = set()
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
        for volume in pod.get("volumes", []):
            assert set(volume) & {"secret", "persistentVolumeClaim", "configMap", "emptyDir"}
        (container,) = pod["containers"]
        assert container["securityContext"] == RESTRICTED
        assert writable(container["volumeMounts"]) >= {"/tmp", "/home/gradstab"}
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        for volume in pod["volumes"]:
            if "emptyDir" in volume:
                assert volume["emptyDir"]["sizeLimit"]
        assert {"cpu", "memory"} <= set(container["resources"]["limits"])
        images.add(container["image"].partition(":")[0])
        if container["name"].startswith("ray-"):
            assert container["readinessProbe"]["exec"]["command"][0] == "python"
    autoscaler = documents()["RayCluster"]["spec"]["autoscalerOptions"]
    assert autoscaler["securityContext"] == RESTRICTED
    # the operator puts this container into the head's pod; the head's home folder holds credentials
    assert autoscaler["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert "tmp" in {volume["name"] for volume in pods()[0]["volumes"]}
    assert images == {"gradstab-worker"}


def test_secrets_are_files_of_the_head_alone_and_settings_hold_none():
    head, *others = pods()
    (container,) = head["containers"]
    assert container["envFrom"] == [{"configMapRef": {"name": "gradstab"}}]
    settings = documents()["ConfigMap"]["data"]
    assert not [name for name in settings if "PASSWORD" in name or "TOKEN" in name]
    mounted = {volume["name"]: volume["mountPath"] for volume in container["volumeMounts"]}
    (secret,) = [volume["name"] for volume in head["volumes"] if "secret" in volume]
    assert mounted[secret] == settings["GRADSTAB_SECRETS"]
    # Kubernetes' own token is mounted there, and cannot be within a volume that is read only
    assert not settings["GRADSTAB_SECRETS"].startswith(("/run", "/var/run"))
    for pod in others:
        assert pod["automountServiceAccountToken"] is False
        assert not any({"env", "envFrom"} & set(container) for container in pod["containers"])
        assert all(set(volume) == {"name", "emptyDir"} for volume in pod["volumes"])


def test_ray_asks_for_a_token_and_only_the_cluster_s_own_pods_and_callers_reach_it():
    cluster, policy = documents()["RayCluster"], documents()["NetworkPolicy"]["spec"]
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    own = {"matchLabels": {"ray.io/cluster": cluster["metadata"]["name"]}}
    assert policy["podSelector"] == own
    inside, api = policy["ingress"]
    assert inside == {"from": [{"podSelector": own}]}
    assert [port["port"] for port in api["ports"]] == [8265]
    submitter = documents()["RayJob"]["spec"]["submitterPodTemplate"]["metadata"]["labels"]
    assert {"podSelector": {"matchLabels": submitter}} in api["from"]
    assert all("ports" in rule or rule["to"] == [{"podSelector": own}] for rule in policy["egress"])


def test_the_head_has_time_to_drain():
    head = pods()[0]
    (container,) = head["containers"]
    assert container["lifecycle"]["preStop"]["exec"]["command"] == ["python", "/opt/drain.py"]
    drain = float(documents()["ConfigMap"]["data"]["GRADSTAB_DRAIN_SECONDS"])
    assert head["terminationGracePeriodSeconds"] > drain + DRAIN.SECONDS_BESIDE_THE_DRAIN
