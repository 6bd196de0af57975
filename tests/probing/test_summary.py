"""What the values at a position show, against plain NumPy over pairs of samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from gradstab.probing.summary import summary_of


@pytest.mark.parametrize("shape", [(5, 7), (4, 3, 6), (3, 2, 4, 4)])
def test_mean_square_and_cosine_are_those_of_all_pairs(shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    flat = values.double().reshape(shape[0], -1).numpy()
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in itertools.combinations(flat, 2)]
    found = summary_of(values)
    assert float(found.mean_square) == pytest.approx(np.mean(flat**2), rel=1e-12)
    assert float(found.cosine) == pytest.approx(np.mean(cosines), rel=1e-9)
    assert np.isnan(float(found.dead))


def test_samples_of_zeros_have_no_direction():
    values = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    assert float(summary_of(values).cosine) == pytest.approx(0.5**0.5)
    assert np.isnan(float(summary_of(values[:2]).cosine)), "one sample makes no pair"


def test_dead_units_are_told_where_an_activation_made_the_values():
    values = torch.tensor([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]])
    assert float(summary_of(values, nn.ReLU()).dead) == 0.5
    assert np.isnan(float(summary_of(values, nn.Linear(4, 4)).dead))
