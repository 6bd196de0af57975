"""Data: scaling, fixed rows, batch order, and every fault as one sentence."""

import math

import numpy as np
import pytest
import torch

from gradstab.study.data_spec import DataError, Digits, Mnist, Npz, Teacher
from gradstab.training.data import BatchOrder, load_dataset, make_dataset


def test_rows_have_mean_square_one_and_the_shape_promised(digits):
    assert digits.shape == Digits().shape()
    np.testing.assert_allclose(np.mean(digits.x_ND.astype(np.float64) ** 2, axis=1), 1.0, rtol=1e-6)
    assert digits.reference_loss == pytest.approx(math.log(10), rel=1e-3)
    assert len(set(digits.accuracy_rows)) == 512


def test_the_study_s_seed_chooses_the_fixed_rows():
    one, again, two = (load_dataset(Digits(), seed) for seed in (1, 1, 2))
    assert np.array_equal(one.probe_rows(128), again.probe_rows(128))
    assert not np.array_equal(one.probe_rows(128), two.probe_rows(128))


def test_teacher_is_of_any_size_and_linearly_separable():
    spec = Teacher(num_rows=700, num_features=5, num_classes=3)
    data = load_dataset(spec, 4)
    assert data.shape == spec.shape()
    # the teacher has no bias, so scaling a row keeps its label: least squares on one-hot labels finds most of them
    solution, *_ = np.linalg.lstsq(data.x_ND, np.eye(3)[data.y_N], rcond=None)
    assert np.mean(np.argmax(data.x_ND @ solution, axis=1) == data.y_N) > 0.85
    assert not np.array_equal(load_dataset(spec, 5).x_ND, data.x_ND)


def test_reference_loss_is_the_entropy_of_the_labels():
    x_ND = np.random.default_rng(0).standard_normal((100, 3))
    data = make_dataset(x_ND, np.array(["a"] * 25 + ["b"] * 75), 0, "test")
    assert data.reference_loss == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))
    assert len(data.accuracy_rows) == 100


def test_npz_flattens_images_and_promises_their_shape(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "own.npz"
    np.savez(path, X=rng.integers(0, 255, (80, 4, 4), dtype=np.uint8), y=np.repeat(["x", "y"], 40))
    data = load_dataset(Npz(path=path), 0)
    assert data.shape == Npz(path=path).shape()
    assert data.shape.num_features == 16


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"X": np.ones((70, 2))}, "must hold the arrays X and y"),
        ({"X": np.ones((70, 2)), "y": np.ones(69)}, "X of shape .* and y of shape"),
        ({"X": np.ones(70), "y": np.ones(70)}, "X of shape .* and y of shape"),
        ({"X": np.array([["a", None]] * 70, dtype=object), "y": np.ones(70)}, "plain numeric arrays"),
        ({"X": np.full((70, 2), "a"), "y": np.arange(70)}, "real numbers in X"),
        ({"X": np.ones((70, 2)), "y": np.ones(70)}, "at least two classes"),
        ({"X": np.ones((63, 2)), "y": np.arange(63)}, "at least 64 rows"),
        (
            {"X": np.vstack([np.ones((70, 2)), np.zeros((2, 2))]), "y": np.arange(72)},
            "no row of zeros, got 2 .* row 70",
        ),
        (
            {"X": np.vstack([np.ones((70, 2)), [[np.nan, 1]]]), "y": np.arange(71)},
            "only finite values, got 1 .* row 70",
        ),
        ({"X": np.vstack([np.ones((70, 2)), [[np.inf, 1]]]), "y": np.arange(71)}, "only finite values"),
    ],
)
def test_data_that_cannot_be_trained_on_says_so_in_one_sentence(arrays, sentence, tmp_path):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=sentence) as caught:
        load_dataset(Npz(path=path), 0)
    assert "\n" not in str(caught.value)


def test_a_missing_or_torn_file_says_so(tmp_path):
    with pytest.raises(DataError, match="a file that can be read"):
        Npz(path=tmp_path / "none.npz").shape()
    torn = tmp_path / "torn.npz"
    np.savez(torn, X=np.ones((70, 2)), y=np.arange(70))
    torn.write_bytes(torn.read_bytes()[:-40])
    with pytest.raises(DataError, match="npz file of plain numeric arrays"):
        load_dataset(Npz(path=torn), 0)


def test_mnist_without_a_network_names_the_alternatives(monkeypatch):
    def unreachable(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", unreachable)
    with pytest.raises(DataError, match="'digits', 'teacher', or 'npz'"):
        load_dataset(Mnist(), 0)


def test_every_epoch_shows_every_row_once():
    order = BatchOrder([1, 2], num_rows=20, batch_size=8)
    rows = np.concatenate([order.next() for _ in range(5)], axis=1)  # two epochs
    for member in range(2):
        for epoch in (rows[member, :20], rows[member, 20:]):
            assert sorted(epoch) == list(range(20))
    assert not np.array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0, :20], rows[0, 20:])


def test_a_batch_larger_than_the_data_spans_epochs():
    assert np.bincount(BatchOrder([1], num_rows=5, batch_size=12).next()[0]).tolist().count(0) == 0


def test_padding_is_zero_and_precision_is_what_was_asked(odd_data):
    x_NF, y_N = odd_data.tensors(torch.float64, torch.device("cpu"))
    assert x_NF.shape == (151, 32)
    assert x_NF.dtype == torch.float64
    assert not x_NF[150].any()
    assert not x_NF[:, 19:].any()
    assert y_N[:150].tolist() == odd_data.y_N.tolist()


@pytest.mark.parametrize("moved", [False, True])
def test_digits_are_those_of_scikit_learn_wherever_it_keeps_them(moved, monkeypatch) -> None:
    from sklearn.datasets import load_digits

    from gradstab.training import data

    if moved:  # the file is not where it was
        monkeypatch.setattr(data, "find_spec", lambda name: None)
    for ours, theirs in zip(data._digits(), load_digits(return_X_y=True), strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)
