"""Which way members are computed: what cannot be computed at once is found out, with the reason in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from gradstab.training.modules import choice
from gradstab.training.modules.choice import choice_for, why_one_by_one
from tests.modules import networks, stackable
from tests.modules.kit import DIGITS, program, recipe
from tests.modules.test_stack import built

REASONS = {
    "Lstm": "time steps",
    "LstmBetween": "lstm_cell",
    "WithAttribute": "alpha.*buffer",
    "WithClosure": "differ",
    "Replaces": "buffer calls",
    "Stashes": "assigns to self: last",
    "Writes": "in place",
    "ReadsItem": r"\.item\(\)",
    "Branches": "if, while",
    "ShapesFromData": "shape",
    "OwnFunction": "autograd.Function",
    "Chaotic": "differ",
    "Jitters": "random numbers",
}


def why(build: Callable[..., nn.Module], **more: Any) -> str:
    """Why two members go one by one; both have other values of alpha where there is one."""
    pair = [recipe(**more), recipe(**{name: 1.5 * value for name, value in more.items()})]
    with torch.no_grad():
        return why_one_by_one(pair, DIGITS, program(build)) or "equal"


@pytest.mark.parametrize("kind", REASONS)
def test_what_cannot_be_computed_at_once_has_its_reason(kind):
    alpha = {"alpha": 1.0} if kind.startswith("With") else {}
    reason = why(built(getattr(stackable, kind)), **alpha)
    assert re.search(REASONS[kind], reason)


@pytest.mark.parametrize(
    ("between", "meaning"), [("batch", "samples depend on each other"), ("dropout", "random numbers")]
)
def test_batch_normalisation_and_dropout_go_one_by_one(between, meaning):
    assert meaning in why(lambda: networks.chain(3, 16, between=between))


@pytest.mark.parametrize("kind", ["Transformer", "Recurrent", "Tied", "CountsInPlace"])
def test_what_gives_equal_numbers_is_found_equal(kind):
    assert why(built(getattr(stackable, kind))) == "equal"


def test_an_argument_that_is_a_buffer_may_differ():
    assert why(built(stackable.WithBuffer), alpha=1.0) == "equal"


def test_the_comparison_leaves_random_generators_as_they_were():
    before = torch.get_rng_state()
    why(lambda: networks.chain(3, 16, between="dropout"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("speedup", "together"), [(1.05, False), (1.5, True)])
def test_equal_numbers_are_not_enough(monkeypatch, speedup, together):
    """A pack that is no faster is not taken; the reason holds the figure."""
    monkeypatch.setattr(choice, "_speedup", lambda *given: speedup)
    with torch.no_grad():
        found = choice_for(recipe(), recipe(), DIGITS, program(lambda: networks.chain(2, 8)), 1e-3)
    assert found.together is together
    assert found.speedup == speedup
    assert f"{speedup:.2g}" in found.reason


def test_long_steps_are_not_compared():
    with torch.no_grad():
        found = choice_for(recipe(), recipe(), DIGITS, program(nn.Identity), 10.0)
    assert not found.together
    assert "10 s" in found.reason


def test_losses_that_differ_are_found_where_gradients_are_equal():
    """As a loss to which each member adds a constant of its own."""
    own = torch.tensor([2.0, 3.0], dtype=torch.float64)
    assert choice._far("losses", own, own.clone()) is None
    assert choice._far("losses", own + 1e-6, own) == "losses differ by 5e-07 from those of one after another"
    nan = torch.full((2,), torch.nan)
    assert choice._far("losses", nan, nan) is None
