"""The loss of the best constant prediction, held against a slow twin that finds it by minimising the loss itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from gradstab.study.data_spec import Adding, DigitRows, Digits, Tokens
from gradstab.training.data import load_dataset
from gradstab.training.reference_losses import constant_loss, fitted_reference
from gradstab.training.tensor_data import TensorData, load_tensor_data

Loss = Callable[[Any, Tensor], Tensor]


def minimised(loss: Loss, constant: Tensor, outputs_of: Callable[[Tensor, int], Tensor], targets: Tensor) -> float:
    """The slow twin: the mean loss over all rows at its minimum over constants, by Newton-like steps of LBFGS."""
    constant = constant.double().requires_grad_()
    search = torch.optim.LBFGS([constant], lr=1, max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe")  # fmt: skip

    def closure() -> Tensor:
        search.zero_grad()
        mean = loss(outputs_of(constant, len(targets)), targets).mean()
        mean.backward()  # type: ignore[no-untyped-call]
        return mean

    search.step(closure)  # type: ignore[no-untyped-call]
    return float(closure().detach())


def last_axis(reduce: str = "mean", scale: float = 1.0) -> Loss:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        each = functional.cross_entropy(outputs.movedim(-1, 1), targets, reduction="none").reshape(len(targets), -1)
        return scale * (each.sum(1) if reduce == "sum" else each.mean(1))

    return loss


def second_axis(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none").reshape(len(targets), -1).mean(1)


def mean_of_counted(outputs: Tensor, targets: Tensor) -> Tensor:
    each = functional.cross_entropy(outputs.movedim(-1, 1), targets, reduction="none")
    return each.sum(1) / (targets >= 0).sum(1)


def squared(reduce: str = "mean", scale: float = 1.0) -> Loss:
    return lambda outputs, targets: scale * getattr((outputs - targets).square().reshape(len(targets), -1), reduce)(1)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def labels(*shape: int, classes: int = 4, seed: int = 1) -> Tensor:
    """Uneven labels."""
    weights = torch.arange(1.0, classes + 1)
    flat = torch.multinomial(weights, math.prod(shape), True, generator=torch.Generator().manual_seed(seed))
    return flat.reshape(shape)


def fitted(loss: Loss, outputs: Tensor, targets: Tensor, count: int = 40) -> float | None:
    """Decided on the first rows, fitted on all."""
    few = outputs[:count]
    found = constant_loss(loss(few, targets[:count]), few, targets[:count], targets)
    assert found is None or found.name == ("squared error" if targets.is_floating_point() else "cross-entropy")
    return None if found is None else found.loss


def test_figures_worked_out_by_hand():
    # labels 0, 1, 1, 1: frequencies 1/4 and 3/4
    targets = torch.tensor([0, 1, 1, 1])
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert fitted(last_axis(), normal(4, 2), targets) == pytest.approx(entropy, rel=1e-12)
    # two positions a sample, summed: twice the entropy of 1, 3 of 4
    pairs = torch.tensor([[0, 1], [1, 1], [0, 1], [1, 1]])
    assert fitted(last_axis("sum"), normal(4, 2, 2), pairs) == pytest.approx(2 * entropy, rel=1e-12)
    # targets 0, 0, 3, 3: variance 9/4; the second entry never changes
    real = torch.tensor([[0.0, 5.0], [0.0, 5.0], [3.0, 5.0], [3.0, 5.0]])
    assert fitted(squared("sum"), normal(4, 2), real) == pytest.approx(9 / 4, rel=1e-12)
    assert fitted(squared("mean"), normal(4, 2), real) == pytest.approx(9 / 8, rel=1e-12)
    # rows (0, left out) and (1, 1), as mean over what counts: weights 1 and 1, so log 2; divided by all: 1 of 3 against 2
    holes = torch.tensor([[0, -100], [1, 1]] * 20)
    assert fitted(mean_of_counted, normal(40, 2, 2), holes) == pytest.approx(math.log(2), rel=1e-12)
    third = -(math.log(1 / 3) / 3 + 2 / 3 * math.log(2 / 3))
    assert fitted(last_axis("mean"), normal(40, 2, 2), holes) == pytest.approx(0.75 * third, rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "shape"),
    [
        (last_axis(), (200, 4)),
        (last_axis("sum"), (200, 5, 4)),
        (last_axis("mean"), (200, 5, 4)),
        (last_axis("mean", 1 / math.log(2)), (200, 5, 4)),
        (last_axis("mean"), (200, 4, 4)),  # both axes could hold the classes
        (last_axis("sum"), (200, 2, 3, 4)),
        (mean_of_counted, (200, 5, 4)),
    ],
)
@pytest.mark.parametrize("holes", [0.0, 0.3])
def test_cross_entropy_is_the_entropy_of_the_labels(loss: Loss, shape: tuple[int, ...], holes: float):
    targets = labels(*shape[:-1])
    if holes and len(shape) > 2:
        left_out = torch.rand(targets.shape, generator=torch.Generator().manual_seed(5)) < holes
        left_out[:, 0] = False  # no sample without a label
        targets = targets.masked_fill(left_out, -100)
    twin = minimised(loss, torch.zeros(4), lambda constant, count: constant.expand(count, *shape[1:]), targets)
    assert fitted(loss, normal(*shape), targets) == pytest.approx(twin, rel=1e-9)


@pytest.mark.parametrize("shape", [(200, 4), (200, 4, 5), (200, 4, 4), (200, 4, 2, 3)])
def test_classes_may_stand_on_axis_one(shape: tuple[int, ...]):
    targets = labels(shape[0], *shape[2:])

    def outputs_of(constant: Tensor, count: int) -> Tensor:
        return constant.reshape(1, 4, *[1] * len(shape[2:])).expand(count, *shape[1:])

    twin = minimised(second_axis, torch.zeros(4), outputs_of, targets)
    assert fitted(second_axis, normal(*shape), targets) == pytest.approx(twin, rel=1e-9)


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("reduce", ["mean", "sum"])
@pytest.mark.parametrize("shape", [(150, 1), (150, 3), (150, 2, 3)])
def test_squared_error_is_the_variance_of_the_entries(scale: float, reduce: str, shape: tuple[int, ...]):
    targets = normal(*shape, seed=3) * torch.arange(1.0, shape[-1] + 1) + 2
    loss = squared(reduce, scale)
    twin = minimised(loss, torch.zeros(shape[1:]), lambda constant, count: constant.expand(count, *shape[1:]), targets)
    assert fitted(loss, normal(*shape), targets) == pytest.approx(twin, rel=1e-9)


def test_one_number_a_row_may_lack_its_last_axis():
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs[:, 0] - targets).square()

    targets = normal(150, seed=3)
    assert fitted(loss, normal(150, 1), targets) == pytest.approx(float(targets.var(correction=0)), rel=1e-12)


def test_rows_are_counted_in_parts_of_any_number():
    targets = labels(10_001, 3)
    frequency = torch.bincount(targets.flatten()) / targets.numel()
    expected = float(torch.special.entr(frequency.double()).sum())
    assert fitted(last_axis(), normal(10_001, 3, 4), targets) == pytest.approx(expected, rel=1e-6)
    real = normal(10_001, 2, seed=8)
    expected = float(real.var(0, correction=0).mean())
    assert fitted(squared(), normal(10_001, 2), real) == pytest.approx(expected, rel=1e-9)


def smoothed(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(outputs, targets, reduction="none", label_smoothing=1e-3)


def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.cross_entropy(
        outputs, targets, reduction="none", weight=torch.tensor([1.0, 1, 1, 1.001]).double()
    )


OTHERS: dict[str, Loss] = {
    "smoothed": smoothed,
    "weighted": weighted,
    "warm": lambda outputs, targets: functional.cross_entropy(outputs / 1.001, targets, reduction="none"),
    "penalised": lambda outputs, targets: second_axis(outputs, targets) + 1e-1 * outputs.square().sum(1),
    "shifted": lambda outputs, targets: second_axis(outputs, targets) + 1e-5,
    "negative": lambda outputs, targets: -second_axis(outputs, targets),
    "likelihood": lambda outputs, targets: functional.nll_loss(outputs, targets, reduction="none"),
    "hinge": lambda outputs, targets: functional.multi_margin_loss(outputs, targets, reduction="none"),
    "mean of the batch": lambda outputs, targets: second_axis(outputs, targets).mean().expand(len(targets)),
    "root": lambda outputs, targets: second_axis(outputs, targets).sqrt(),
    "not finite": lambda outputs, targets: second_axis(outputs, targets) * math.nan,
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_other_losses_of_labels_have_no_known_reference(name: str, scale: float):
    """Outputs are small too: there every loss of labels is nearly log C, and only its spread shows which one it is."""
    targets = labels(200)
    assert fitted(last_axis(), normal(200, 4) * scale, targets) is not None
    assert fitted(OTHERS[name], normal(200, 4) * scale, targets) is None


@pytest.mark.parametrize(
    "loss",
    [
        lambda outputs, targets: (outputs - targets).abs().sum(1),
        lambda outputs, targets: functional.huber_loss(outputs, targets, reduction="none", delta=2.0).sum(1),
        lambda outputs, targets: ((outputs - targets).square() * torch.tensor([1.0, 1.0, 1.001])).sum(1),
        lambda outputs, targets: functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none").sum(1),
    ],
)
def test_other_losses_of_numbers_have_no_known_reference(loss: Loss):
    assert fitted(loss, normal(200, 3), normal(200, 3, seed=4)) is None


def test_outputs_that_show_nothing_decide_nothing():
    targets = labels(200)
    assert fitted(last_axis(), torch.zeros(200, 4).double(), targets) is None
    assert fitted(last_axis(), normal(200, 4), targets, count=2) is None
    assert constant_loss(normal(200, 2), normal(200, 4), targets, targets) is None
    assert constant_loss(normal(200), normal(200, 4), {"a": targets}, {"a": targets}) is None


def test_labels_that_are_left_out_unseen_decide_nothing():
    outputs, targets = normal(200, 5, 4), labels(200, 5)
    holes = targets.clone()
    holes[100:, 3:] = -100
    assert fitted(mean_of_counted, outputs, holes) is None  # the first 40 rows show none
    even = targets.clone()
    even[:, 3:] = -100
    even[100:, 1:] = -100
    assert (
        fitted(mean_of_counted, outputs, even) is None
    )  # three count in each of them: the mean, or the sum over five?
    empty = targets.masked_fill(normal(200, 5, seed=9) < -0.5, -100)
    empty[:40, 0], empty[150] = 1, -100
    assert fitted(mean_of_counted, outputs, empty) is None  # the mean over nothing
    assert fitted(last_axis(), outputs, empty) is not None


def test_a_common_label_that_the_samples_lack_decides_nothing():
    """The loss could leave it out: here it is what `ignore_index=0` leaves out."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="none", ignore_index=0)

    targets = torch.tensor([1, 2, 3] * 20 + [0] * 20)
    outputs = normal(80, 4)
    assert fitted(loss, outputs, targets, count=30) is None
    assert fitted(loss, outputs, targets, count=80) is None


@settings(max_examples=50, deadline=None)
@given(
    classes=st.integers(2, 9),
    positions=st.lists(st.integers(1, 4), max_size=2),
    reduce=st.sampled_from(["mean", "sum"]),
    seed=st.integers(0, 10**6),
)
def test_of_any_shape_it_is_the_loss_of_the_label_frequencies(classes, positions, reduce, seed):
    targets = labels(300, *positions, classes=classes, seed=seed)
    frequency = torch.bincount(targets.flatten(), minlength=classes) / targets.numel()
    constant = frequency.double().clamp(min=1e-300).log().expand(300, *positions, classes)
    expected = float(last_axis(reduce)(constant, targets).mean())
    assert fitted(last_axis(reduce), normal(300, *positions, classes, seed=seed), targets, 300) == pytest.approx(expected, rel=1e-6)  # fmt: skip


def network(weight: Tensor, data: TensorData) -> Callable[[Any], Tensor]:
    """A linear network in float32, as studies train them."""
    return lambda rows: data.batch(rows, torch.float32, torch.device("cpu"))[0].flatten(1) @ weight


@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_the_reference_of_data_that_ship(scale: float):
    """Digits are nearly even; of the adding problem's targets the variance is 1/6; a zero readout hides no loss."""
    digits, adding = load_tensor_data(DigitRows(), 0), load_tensor_data(Adding(6), 0)
    found = fitted_reference(second_axis, network(normal(64, 10).float() * scale, digits), digits)
    assert found is not None
    assert found.loss == pytest.approx(load_dataset(Digits(), 0).reference_loss, rel=1e-9)
    assert found.name == "cross-entropy"
    found = fitted_reference(squared(), network(normal(12, 1).float() * scale, adding), adding)
    assert found is not None
    assert found.loss == pytest.approx(1 / 6, rel=0.05)
    assert found.name == "squared error"


def test_the_reference_of_a_file_of_tokens_is_the_entropy_of_its_tokens(tmp_path: Path):
    path = tmp_path / "tokens.bin"
    ids = np.random.default_rng(0).choice(3, 9001, p=[0.5, 0.25, 0.25]).astype(np.uint16)
    ids.tofile(path)
    data = load_tensor_data(Tokens(path, 9), 0)
    found = fitted_reference(last_axis(), lambda rows: normal(len(rows), 9, 3), data)
    share = np.bincount(ids[1:]) / 9000
    assert found is not None
    assert found.loss == pytest.approx(float(-(share * np.log(share)).sum()), rel=1e-9)
    assert found.name == "cross-entropy"


def test_a_loss_that_takes_float32_alone_and_outputs_that_are_no_tensor_are_not_fitted():
    data = load_tensor_data(DigitRows(), 0)

    def of_classes(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="none", weight=torch.ones(10))

    logits_of = network(normal(64, 10).float(), data)
    of_classes(logits_of(np.arange(3)), data.targets[:3])
    assert fitted_reference(of_classes, logits_of, data) is None
    assert fitted_reference(second_axis, lambda rows: (logits_of(rows),), data) is None
