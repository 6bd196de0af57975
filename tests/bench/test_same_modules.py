"""The peer's loop over a module is checked against ours: equal networks pass, and another network does not."""

from __future__ import annotations

from typing import Any

import pytest

from gradstab.study.module_recipe import module_recipe
from tests.bench.bare_module import train_bare_module
from tests.bench.same_modules import check_peer_of_modules
from tests.bench.same_networks import NetworksDifferError
from tests.bench.studies import OF_MODULES, changed, spread_points

SEED = 0


def reported(name: str) -> dict[str, Any]:
    """What the peer says of one short training of a family."""
    study = changed(OF_MODULES[name], steps=12, probe_every=5)
    (point,) = spread_points(study, 1)
    reports: list[dict[str, float]] = []
    train_bare_module(study, module_recipe(study, point), SEED, report=reports.append)
    return {"study": study, "result": {"point": point, "seed": SEED, **reports[-1]}}


@pytest.mark.parametrize("name", sorted(OF_MODULES))
def test_the_peer_trains_the_same_modules(name):
    told = reported(name)
    check_peer_of_modules(told["study"], [told["result"]])
    with pytest.raises(NetworksDifferError, match="loss"):
        check_peer_of_modules(told["study"], [{**told["result"], "seed": 1}])
    with pytest.raises(NetworksDifferError, match="parameters"):
        check_peer_of_modules(told["study"], [{**told["result"], "parameters": 1}])
