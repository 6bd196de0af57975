"""The data of a study: rows scaled to mean square 1, with the rows that probes and accuracy read.

Array names: N rows, D features, F features padded to whole vector registers, B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gradstab.study.data_file import DataError, require_rows
from gradstab.study.data_spec import AnyData, Digits, Mnist, Npz, Teacher, require_fitting
from gradstab.study.pack_key import DataShape, padded
from gradstab.training.initialisation import Stream, generator
from gradstab.training.rows import first_rows, fixed_order, rows_of_accuracy


@dataclass(frozen=True)
class Dataset:
    """Training rows and their labels.

    Attributes:
        x_ND: float32; every row has mean square 1.
        y_N: class of each row, 0..num_classes-1.
        num_classes: number of classes.
        reference_loss: entropy of the labels in nats, the loss of the best constant predictor.
        order_N: the rows in an order drawn from the study's seed; probes read its first rows.
        accuracy_rows: up to 512 rows on which accuracy is read.
    """

    x_ND: NDArray[np.float32]
    y_N: NDArray[np.int64]
    num_classes: int
    reference_loss: float
    order_N: NDArray[np.int64]
    accuracy_rows: NDArray[np.int64]
    _tensors: dict[tuple[torch.dtype, torch.device], tuple[Tensor, Tensor]] = field(default_factory=dict, repr=False)

    @property
    def target_loss(self) -> None:
        """The criterion says which loss counts as trained."""

    @property
    def num_rows(self) -> int:
        return len(self.y_N)

    @property
    def shape(self) -> DataShape:
        return DataShape(self.num_rows, self.x_ND.shape[1], self.num_classes)

    def probe_rows(self, count: int) -> NDArray[np.int64]:
        """The first `count` rows of the fixed probe order.

        Raises:
            DataError: there are fewer rows.
        """
        return first_rows(self.order_N, count)

    def tensors(self, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
        """x padded to (N + 1, F) and y to (N + 1,): row N is all zero and fills batches up."""
        key = (dtype, device)
        if key not in self._tensors:
            num_rows, num_features = self.x_ND.shape
            x_NF = torch.zeros(num_rows + 1, padded(num_features), dtype=dtype, device="cpu")
            x_NF[:num_rows, :num_features] = torch.from_numpy(self.x_ND)
            y_N = torch.zeros(num_rows + 1, dtype=torch.int64, device="cpu")
            y_N[:num_rows] = torch.from_numpy(self.y_N)
            self._tensors[key] = (x_NF.to(device), y_N.to(device))
        return self._tensors[key]


def make_dataset(x_ND: NDArray[np.generic], y_N: NDArray[np.generic], study_seed: int, source: str) -> Dataset:
    """The data set of raw rows and labels.

    Raises:
        DataError: rows that cannot be scaled, too few rows, or a single class; `source` names the data.
    """
    x64_ND = _numbers(x_ND, source)
    mean_square_N = np.mean(np.square(x64_ND), axis=1)
    for bad_N, must in ((~np.isfinite(mean_square_N), "only finite values"), (mean_square_N == 0, "no row of zeros")):
        if bad_N.any():
            row = int(np.argmax(bad_N))
            raise DataError(f"{source} must hold {must}, got {bad_N.sum()} such rows, first row {row}: remove them.")
    require_rows(source, len(x64_ND))
    classes, labels_N, counts = np.unique(y_N, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise DataError(f"{source} must hold at least two classes, got only {classes[0]!r}: bring other labels.")
    fraction = counts / counts.sum()
    order_N = fixed_order(len(labels_N), study_seed)
    return Dataset(
        x_ND=(x64_ND / np.sqrt(mean_square_N)[:, None]).astype(np.float32),
        y_N=labels_N.astype(np.int64),
        num_classes=len(classes),
        reference_loss=float(-(fraction * np.log(fraction)).sum()),
        order_N=order_N,
        accuracy_rows=rows_of_accuracy(order_N),
    )


def load_dataset(spec: AnyData, study_seed: int) -> Dataset:
    """The data set that a study of fully connected networks names.

    Raises:
        DataError: it cannot be read, fetched or trained on, or its rows are no rows of features with a label.
    """
    match spec:
        case Digits():
            x_ND, y_N = _digits()
        case Teacher():
            x_ND, y_N = _teacher(spec, study_seed)
        case Npz():
            x_ND, y_N = _npz(spec)
        case Mnist():
            x_ND, y_N = _mnist()
        case _:
            raise DataError(
                f"data {spec.type} are for studies of modules, since their rows are no rows of features with a label: "
                "give model, or use data 'digits', 'teacher', 'npz' or 'mnist'."
            )
    return make_dataset(x_ND, y_N, study_seed, str(getattr(spec, "path", spec.type)))


class BatchOrder:
    """Which rows each member sees at each step: shuffled epochs without replacement, from the trial's seed.

    A batch that reaches past the end of an epoch takes the rest from the next one.
    """

    def __init__(self, seeds: Sequence[int], num_rows: int, batch_size: int) -> None:
        self._num_rows = num_rows
        self._batch_size = batch_size
        self._rngs = [generator(seed, Stream.BATCHES) for seed in seeds]
        self._drawn_nR = np.empty((len(seeds), 0), dtype=np.int64)
        self._taken = 0  # of the drawn rows

    def next(self) -> NDArray[np.int64]:
        """Rows of the next step, shape (members, B)."""
        end = self._taken + self._batch_size
        if end > self._drawn_nR.shape[1]:
            self._draw(end - self._drawn_nR.shape[1])
            end = self._batch_size
        self._taken, start = end, self._taken
        return self._drawn_nR[:, start:end]

    def keep(self, members: Sequence[int]) -> None:
        """Keep only these members."""
        self._rngs = [self._rngs[member] for member in members]
        self._drawn_nR = self._drawn_nR[list(members)]

    def _draw(self, missing: int) -> None:
        """Drop the rows that were used, and draw whole epochs until `missing` more are there."""
        epochs = -(-missing // self._num_rows)
        fresh_n = [np.concatenate([rng.permutation(self._num_rows) for _ in range(epochs)]) for rng in self._rngs]
        self._drawn_nR = np.concatenate([self._drawn_nR[:, self._taken :], np.stack(fresh_n)], axis=1)
        self._taken = 0


def _numbers(x_ND: NDArray[np.generic], source: str) -> NDArray[np.float64]:
    if x_ND.dtype.kind not in "biuf":
        raise DataError(f"{source} must hold real numbers in X, got type {x_ND.dtype}: convert them.")
    flat: NDArray[np.float64] = x_ND.reshape(len(x_ND), -1).astype(np.float64)
    return flat


def _digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """scikit-learn's digits, from the file that `load_digits` reads: importing that function costs a second."""
    package = find_spec("sklearn")
    places = [] if package is None else package.submodule_search_locations or []
    for place in places:
        path = Path(place) / "datasets" / "data" / "digits.csv.gz"
        if path.is_file():
            table = np.loadtxt(path, delimiter=",")
            return table[:, :-1], table[:, -1].astype(np.int64)
    from sklearn.datasets import load_digits  # a version that keeps its file elsewhere

    x_ND, y_N = load_digits(return_X_y=True)
    return x_ND, y_N


def _teacher(spec: Teacher, study_seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = generator(study_seed, Stream.DATA)
    teacher_DC = rng.standard_normal((spec.num_features, spec.num_classes), dtype=np.float32)
    x_ND = rng.standard_normal((spec.num_rows, spec.num_features), dtype=np.float32)
    return x_ND, np.argmax(x_ND @ teacher_DC, axis=1)


def _npz(spec: Npz) -> tuple[NDArray[np.generic], NDArray[np.generic]]:
    spec.shape()  # every fault of the file is said there
    with np.load(spec.path, allow_pickle=False) as file:
        x, y_N = file["X"], file["y"]
    require_fitting(spec.path, x.shape, y_N.shape)
    return x, y_N


def _mnist() -> tuple[NDArray[np.float64], NDArray[np.generic]]:
    from sklearn.datasets import fetch_openml

    try:
        x_ND, y_N = fetch_openml("mnist_784", version=1, return_X_y=True, as_frame=False, parser="liac-arff")
    except (OSError, ValueError) as error:  # URLError and HTTPError are OSErrors
        raise DataError(
            f"MNIST must be fetched once from OpenML, but: {error}. Without a network use data 'digits', 'teacher', or "
            "'npz' with a copy of your own (arrays X and y)."
        ) from error
    return x_ND, y_N
