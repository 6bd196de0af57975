"""`make test-kuberay`: the pods and the claim of docker/kuberay.yaml against Kubernetes' own published schemas.

tests/test_kuberay.py checks what the operator adds; its pod templates are Kubernetes' own, whose schemas
kubernetes-validate brings, release by release, with unknown fields refused. On a cluster that runs the operator,
`kubectl apply --dry-run=server --validate=strict -f docker/kuberay.yaml` asks its very schemas.
"""

from __future__ import annotations

import copy
import sys
from typing import Any

import kubernetes_validate

from tests.test_kuberay import documents, pods

RELEASES = ("1.30", "1.37")  # an old one that is still met, and the newest


def faults(document: dict[str, Any], release: str) -> list[str]:
    """Why a release of Kubernetes would refuse a document; empty when it would not."""
    try:
        kubernetes_validate.validate(document, release, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    return []


def main() -> None:
    wanted: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": pod} for pod in pods()
    ]
    wanted += [documents()[kind] for kind in ("PersistentVolumeClaim", "ConfigMap", "NetworkPolicy")]
    for release in RELEASES:
        for document in wanted:
            if found := faults(document, release):
                sys.exit(f"Kubernetes {release} must take docker/kuberay.yaml, but {document['kind']}: {found[0]}")
            wrong = copy.deepcopy(document)
            wrong.setdefault("spec", {})["volume_s"] = []
            if not faults(wrong, release):
                sys.exit(f"the schema of Kubernetes {release} must refuse an unknown field, but took it")
        print(f"Kubernetes {release}: {len(wanted)} documents hold, and none with an unknown field")


if __name__ == "__main__":
    main()
