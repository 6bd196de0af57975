"""A Ray cluster that scales: Ray's autoscaler over a provider that starts raylets of this machine as nodes.

Ray's own AutoscalingCluster cannot be used: it needs a file that is not in Ray's wheel, a fixed port, and `ray stop`,
which ends every Ray of the machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from ray._private.services import get_node_ip_address
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID

from tests.cluster.raylets import Raylets, raylets
from tests.tracking.lossy_proxy import free_port

_STORE_BYTES = 100 * 2**20
_IDLE_MINUTES = 0.1
# read by the autoscaler's process and by Ray's control store when they start
_ENVIRONMENT = {
    "RAY_FAKE_CLUSTER": "1",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
}


@contextmanager
def scaling(folder: Path, most: int, **resources: int) -> Iterator[Raylets]:
    """A head without CPUs, and up to `most` nodes of these `resources` where somebody needs them."""
    port = free_port()
    config = folder / "autoscaling.yaml"
    config.write_text(json.dumps(_config(f"{get_node_ip_address()}:{port}", most, resources)))  # type: ignore[no-untyped-call]
    head = {"gcs_server_port": port, "autoscaling_config": str(config), "include_dashboard": False}
    with ExitStack() as stack:
        with mock.patch.dict(os.environ, _ENVIRONMENT):
            cluster = stack.enter_context(raylets(0, 0, **head))
        yield cluster


def _config(address: str, most: int, resources: dict[str, int]) -> dict[str, object]:
    node = {"resources": {**resources, "object_store_memory": _STORE_BYTES}, "node_config": {}, "max_workers": most}
    provider = {
        "type": "external",  # by its own name it wants a file that is not in Ray's wheel
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "gcs_address": address,
        "head_node_id": FAKE_HEAD_NODE_ID,
        "launch_multiple": True,
        "disable_node_updaters": True,
        "disable_launch_config_check": True,
        "foreground_node_launch": True,
        "worker_liveness_check": False,
        "worker_rpc_drain": True,
    }
    return {
        "cluster_name": "raylets",
        "max_workers": most,
        "provider": provider,
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {"min_workers": 0, **node},
        },
        "head_node_type": "ray.head.default",
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": _IDLE_MINUTES,
        "auth": {},
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
    }
