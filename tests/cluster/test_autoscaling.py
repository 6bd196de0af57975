"""A cluster with no node but its head: the autoscaler is asked for a study's slots, brings them, and may take them away."""

from __future__ import annotations

import gc
import time
from pathlib import Path

import pytest
from ray.autoscaler.v2.sdk import get_cluster_status

from tests.cluster.audit import exactly_once
from tests.cluster.autoscaling import scaling
from tests.cluster.paced import start_paced
from tests.endtoend.command import Place

pytestmark = [
    pytest.mark.faults,
    pytest.mark.xdist_group("ray"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # Ray's own, when it looks for ports
]
AWAY = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}


def asked_for(address: str) -> int:
    """Bundles that the autoscaler is asked for now."""
    demands = get_cluster_status(address).resource_demands.cluster_constraint_demand
    return sum(bundle.count for demand in demands for bundle in demand.bundles_by_count)


def workers(address: str) -> int:
    status = get_cluster_status(address)
    nodes = [*status.active_nodes, *status.idle_nodes]
    return sum(node.ray_node_type_name == "worker" for node in nodes)


def test_nodes_are_asked_for_used_and_given_back(tmp_path: Path) -> None:
    place, trials = Place(tmp_path), 240
    place.write_study(trials=trials, steps=100, more="resources: {slots: 3}\n")
    with scaling(tmp_path, 2, CPU=2) as cluster:
        assert workers(cluster.address) == 0
        process = start_paced(place, cluster.address, cpu=0.1, cuda=0.1)
        most = 0
        while process.poll() is None:
            most = max(most, asked_for(cluster.address))
            time.sleep(0.5)
        stdout, _ = process.communicate()
        assert process.returncode == 0, stdout
        assert "3 slots were requested, and none is there yet: the run starts with the first\n" in stdout
        assert most == 3
        assert asked_for(cluster.address) == 0
        deadline = time.monotonic() + 90
        while workers(cluster.address):
            assert time.monotonic() < deadline, "nodes that nobody asks for any more must go"
            time.sleep(1)
    gc.collect()
    records = place.records()
    assert exactly_once((record.number for record in records), trials, "record") == []
    assert {record.device for record in records} == {"cpu:cpu-0", "cpu:cpu-1", "cpu:cpu-2"}


def test_a_cluster_that_never_grows_is_said_in_one_sentence(tmp_path: Path) -> None:
    """A head alone, of which nothing was asked: there is nothing to wait for."""
    place = Place(tmp_path)
    place.write_study(trials=4)
    with scaling(tmp_path, 1, CPU=2) as cluster:
        done = place.run("run", "study", "--address", cluster.address, **AWAY)
    gc.collect()
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("the Ray cluster has no CPU or GPU: ") == 1
    assert "set resources.slots, which is the number of slots that an autoscaler is asked for" in done.stderr
    assert "Traceback" not in done.stderr
