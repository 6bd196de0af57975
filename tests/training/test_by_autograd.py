"""Activations made from a torch function alone: as exact as those written by hand, and bit-equal in any pack."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from gradstab.activations import registry
from gradstab.activations.by_autograd import by_autograd
from gradstab.activations.registry import LIBRARY, add_imported, find_activation
from gradstab.record.statistics.registry import STATISTICS
from gradstab.study.recipe import Recipe
from gradstab.training.trainer import train
from tests.reference import phi_of


@pytest.fixture(autouse=True)
def twins(monkeypatch):
    """Every function of the library once more, under an import path, with nothing written by hand."""
    monkeypatch.setattr(registry, "_imported", {})
    add_imported({f"twin:{name}": by_autograd(f"twin:{name}", phi_of(name)) for name in LIBRARY})
    add_imported({"twin:mish": by_autograd("twin:mish", functional.mish)})


def _recipes(activation: str, **fields: object) -> list[Recipe]:
    common = {"width": 21, "steps": 7, "probe_every": 3, "batch_size": 33, "probe_samples": 70, **fields}
    return [
        Recipe.model_validate(
            {**common, "activation": activation, "depth": depth, "init_scale": scale, "bias_scale": 0.2}
        )
        for depth, scale in ((2, 3.0), (5, 1.2), (9, 0.7))
    ]


@pytest.mark.parametrize("activation", LIBRARY)
def test_what_autograd_trains_is_what_is_written_by_hand(activation, odd_data):
    """In inference mode too, in which workers train and autograd would record nothing."""
    with torch.inference_mode():
        by_hand = train(_recipes(activation, precision="float64"), [1, 2, 3], odd_data)
        derived = train(_recipes(f"twin:{activation}", precision="float64"), [1, 2, 3], odd_data)
    for found, expected in zip(derived, by_hand, strict=True):
        for statistic in STATISTICS.values():
            tolerance = 1e-9 if statistic.dtype == "float64" else 2e-6
            np.testing.assert_allclose(
                found[statistic.name], expected[statistic.name], rtol=tolerance, atol=tolerance, err_msg=statistic.name
            )


@pytest.mark.parametrize("activation", ["twin:mish", "twin:softplus", "twin:relu"])
def test_a_member_is_bit_equal_alone_and_in_a_pack(activation, odd_data):
    recipes = _recipes(activation)
    with torch.inference_mode():
        together = train(recipes, [1, 2, 3], odd_data)
        for index, recipe in enumerate(recipes):
            (alone,) = train([recipe], [index + 1], odd_data)
            for statistic in STATISTICS.values():
                assert alone[statistic.name].tobytes() == together[index][statistic.name].tobytes(), statistic.name


@pytest.mark.parametrize("activation", LIBRARY)
def test_theory_by_autograd_is_what_is_written_by_hand(activation):
    by_hand, derived = find_activation(activation).theory(), find_activation(f"twin:{activation}").theory()
    u = np.concatenate([np.linspace(-30, 30, 602), [-1e-9, 1e-9, -500, 500]])
    assert derived.kinks == by_hand.kinks
    np.testing.assert_allclose(derived.phi(u), by_hand.phi(u), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(derived.derivative(u), by_hand.derivative(u), rtol=1e-6, atol=1e-12)
