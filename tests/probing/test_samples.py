"""How samples lie in outputs, and the signs that are put on them."""

from __future__ import annotations

import pytest
import torch

from gradstab.probing.samples import Rows, candidate_rows, hadamard, measuring_signs, telling_signs


@pytest.mark.parametrize(
    ("outputs", "inputs", "targets", "expected"),
    [
        ((6, 4), (6, 9), (6,), Rows(6, 0, "each")),
        ((6, 5, 4), (6, 5), (6, 5), Rows(6, 0, "each")),
        ((30, 4), (6, 5), (30,), Rows(30, 0, "each")),
        ((6, 4), (5, 6, 3), (6,), Rows(6, 0, "each")),
    ],
)
def test_the_likeliest_place_comes_first(outputs, inputs, targets, expected):
    assert candidate_rows([outputs], torch.zeros(inputs), torch.zeros(targets))[0] == expected


def test_flattened_tokens_may_lie_in_groups_or_in_turn():
    found = candidate_rows([(30, 4)], torch.zeros(6, 5), torch.zeros(6, 5))
    assert found[:1] == [Rows(6, 0, "groups")]
    assert Rows(6, 0, "cycle") in found


def test_signs_reach_every_row_of_a_sample():
    signs = torch.tensor([1.0, -1.0])
    ones = torch.ones(6, 1)
    assert Rows(2, 0, "groups").signed(ones, signs)[:, 0].tolist() == [1, 1, 1, -1, -1, -1]
    assert Rows(2, 0, "cycle").signed(ones, signs)[:, 0].tolist() == [1, -1, 1, -1, 1, -1]
    assert Rows(2, 1, "each").signed(torch.ones(3, 2), signs)[0].tolist() == [1, -1]


@pytest.mark.parametrize("num_samples", [1, 2, 5, 8, 16])
def test_cross_terms_cancel_where_all_rows_are_taken(num_samples):
    signs, exact = measuring_signs(num_samples, 16, torch.Generator())
    assert exact
    assert torch.equal(signs.T @ signs, len(signs) * torch.eye(num_samples, dtype=torch.float64))


def test_cross_terms_are_zero_on_average_where_rows_are_left_out():
    total = torch.zeros(40, 40, dtype=torch.float64)
    for seed in range(400):
        signs, exact = measuring_signs(40, 4, torch.Generator().manual_seed(seed))
        assert not exact
        total += signs.T @ signs / 4 / 400
    assert (total - torch.eye(40)).abs().max() < 0.3


def test_the_telling_signs_differ_for_any_two_samples_under_some_seed():
    apart = torch.zeros(8, 8, dtype=torch.bool)
    for seed in range(20):
        for signs in telling_signs(8, torch.Generator().manual_seed(seed)):
            apart |= signs[:, None] != signs[None, :]
    assert apart.sum() == 8 * 7


def test_the_matrix_has_a_column_for_each_sample():
    assert hadamard(5).shape == (8, 5)
    assert hadamard(1).tolist() == [[1.0]]
