"""A stack of fully connected networks trained together: initialisation, ragged forward pass, explicit backward pass.

Members stand deepest first, so that layer l's tensors hold the first n_l members; a shallower member leaves the
stack at its last layer, into the buffer that the readout reads. Widths, rows, features and classes are padded to
whole vector registers with zeros that stay zero, so that a member's numbers do not depend on its pack.
Shapes: L layer, n member, B row of a batch, F feature, U unit, C class (the last four padded).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.packing import padded
from pipeline.recipe import Recipe
from pipeline.training.activations import NONLINEARITIES
from pipeline.training.data import Dataset
from pipeline.training.initialisation import hidden_biases, hidden_weights, readout_weights
from pipeline.training.layout import PIECE, Layout, Section, scale_by_power_
from pipeline.training.norms import section_norms
from pipeline.training.probes import Reading
from pipeline.training.workspace import Arena, Views, Widths

_DTYPES = {"float32": torch.float32, "float64": torch.float64}
_FORWARD_ROWS = 128  # rows at a time where no layer is kept: more leave the cache


class Network:
    """The members of one stack: parameters and gradients in flat buffers, and the passes that fill them.

    Args:
        recipes: deepest first; alike in pack key and activation.
        seeds: one a member.
        data: what is trained on.
        device: where.

    Attributes:
        layout: sections are the weights of each hidden layer, the readout's weights, the biases of each hidden
            layer, the readout's bias.
        value, grad: all parameters, and the gradient of the mean loss left by the last backward pass.
    """

    def __init__(self, recipes: Sequence[Recipe], seeds: Sequence[int], data: Dataset, device: torch.device) -> None:
        recipe = recipes[0]
        dtype = _DTYPES[recipe.precision]
        self._phi = NONLINEARITIES[recipe.activation]
        self._depths = [r.depth for r in recipes]
        self._width = recipe.width
        self._batch_rows = padded(max(recipe.batch_size, recipe.probe_samples))
        self._num_classes = data.num_classes
        self._widths = Widths(padded(data.shape.num_features), padded(recipe.width), padded(data.num_classes))
        self._x_NF, self._y_N = data.tensors(dtype, device)
        self.layout = Layout(len(recipes), _sections(self._counts(), self._widths))
        self.value = _initial_values(self.layout, recipes, seeds, data, self._widths, dtype).to(device)
        self._bind()

    def loss_and_gradient(self, rows_nB: NDArray[np.int64]) -> Tensor:
        """Mean loss of each member on its own rows (n,), float64; leaves the gradient of that loss in `grad`."""
        return self._pass(rows_nB, None)

    def probe(self, rows_nB: NDArray[np.int64]) -> tuple[Tensor, Reading]:
        """As `loss_and_gradient`, and reads the layer statistics on the way."""
        depth = self._depths[0]
        reading = Reading(depth, self.layout.members, rows_nB.shape[1], self._width, self._phi, self.value.device)
        loss_n = self._pass(rows_nB, reading)
        norm_sn = section_norms(self.layout, self.grad)
        reading.weights(norm_sn[:depth], norm_sn[depth + 1 : 2 * depth + 1])
        scale_by_power_(self.layout, self.grad, _by_section(reading.exponent_Ln))
        return loss_n, reading

    def accuracy(self, rows: NDArray[np.int64]) -> Tensor:
        """Fraction of the rows that each member classifies correctly (n,), float64; a non-finite logit is wrong."""
        correct_n = torch.zeros(self.layout.members, dtype=torch.float64, device=self.value.device)
        chunk = min(_FORWARD_ROWS, self._batch_rows)
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            views = self._views(padded(len(part))).passing(self._phi.keeps_z)
            y_nB = self._gather(np.broadcast_to(part, (self.layout.members, len(part))), views)
            self._forward(views)
            best_nB, class_nB = views.logits[:, : len(part), : self._num_classes].max(2)
            hit_nB = (class_nB == y_nB[:, : len(part)]) & torch.isfinite(best_nB)
            correct_n += hit_nB.sum(1)
        return correct_n / len(rows)

    def layer_norms(self, flat: Tensor) -> Tensor:
        """Norms of the hidden layers' weights in a buffer of this layout, (L, n) float64; NaN where no layer is."""
        norm_Ln = section_norms(self.layout, flat)[: self._depths[0]]
        for layer, count in enumerate(self._counts_l[:-1]):
            norm_Ln[layer, count:] = torch.nan
        return norm_Ln

    def keep(self, members: Sequence[int]) -> None:
        """Go on with these members only (ascending)."""
        self.value = self.layout.kept(self.value, members)
        self.layout = self.layout.keep(members)
        self._depths = [self._depths[member] for member in members]
        self._bind()

    def _bind(self) -> None:
        """Allocate gradients and buffers, and make the views that the passes use."""
        depth = self._depths[0]
        self.grad = torch.zeros_like(self.value)
        self._weight, self._weight_grad = self._matrices(self.value), self._matrices(self.grad)
        self._bias, self._bias_grad = self._vectors(self.value), self._vectors(self.grad)
        self._counts_l = [*self._counts(), 0]
        keeps_z = self._phi.keeps_z
        arena_counts = self._counts_l[:depth]
        self._arena = Arena(arena_counts, self._batch_rows, self._widths, keeps_z, self.value.dtype, self.value.device)
        self._views_by_rows: dict[int, Views] = {}

    def _counts(self) -> list[int]:
        """n_l: how many members have layer l."""
        return [sum(depth > layer for depth in self._depths) for layer in range(self._depths[0])]

    def _matrices(self, flat: Tensor) -> list[Tensor]:
        """Weights of hidden layers and readout, shape (n_l, in, out)."""
        depth, widths = self._depths[0], self._widths
        shapes = [(widths.features, widths.units), *[(widths.units, widths.units)] * (depth - 1)]
        shapes.append((widths.units, widths.classes))
        return [self.layout.section(flat, layer).view(-1, *shape) for layer, shape in enumerate(shapes)]

    def _vectors(self, flat: Tensor) -> list[Tensor]:
        """Biases of hidden layers and readout, shape (n_l, out)."""
        depth, widths = self._depths[0], self._widths
        sizes = [widths.units] * depth + [widths.classes]
        return [self.layout.section(flat, depth + 1 + layer)[:, :size] for layer, size in enumerate(sizes)]

    def _views(self, rows: int) -> Views:
        if rows not in self._views_by_rows:
            self._views_by_rows[rows] = self._arena.rows(rows)
        return self._views_by_rows[rows]

    def _gather(self, rows_nB: NDArray[np.int64], views: Views) -> Tensor:
        """Fetch every member's rows into `views.x`, filled up with zero rows; returns their labels (n, B)."""
        members, num_rows = rows_nB.shape
        index_nB = np.full((members, views.x.shape[1]), len(self._x_NF) - 1, dtype=np.int64)
        index_nB[:, :num_rows] = rows_nB
        index = torch.from_numpy(index_nB).to(self.value.device)
        torch.index_select(self._x_NF, 0, index.view(-1), out=views.x.view(-1, views.x.shape[2]))
        return self._y_N[index]

    def _forward(self, views: Views) -> None:
        """From `views.x` to `views.logits`."""
        previous = views.x
        for layer, (a, z) in enumerate(zip(views.a, views.z, strict=True)):
            count, deeper = self._counts_l[layer], self._counts_l[layer + 1]
            torch.baddbmm(self._bias[layer][:, None, :], previous[:count], self._weight[layer], out=z)
            self._phi.apply(z, a)
            if not self._phi.fixes_zero and self._width < a.shape[2]:
                a[:, :, self._width :] = 0.0
            views.top[deeper:count] = a[deeper:]
            previous = a
        torch.baddbmm(self._bias[-1][:, None, :], views.top, self._weight[-1], out=views.logits)

    def _pass(self, rows_nB: NDArray[np.int64], reading: Reading | None) -> Tensor:
        num_rows = rows_nB.shape[1]
        views = self._views(padded(num_rows))
        y_nB = self._gather(rows_nB, views)
        self._forward(views)
        loss_n = self._loss(views, y_nB, num_rows)
        self._backward(views, num_rows, reading)
        return loss_n

    def _loss(self, views: Views, y_nB: Tensor, num_rows: int) -> Tensor:
        """Mean cross-entropy (n,), float64; leaves the gradient of the mean loss by logits in `views.dlogits`."""
        logits, dlogits = views.logits, views.dlogits
        logits[:, :, self._num_classes :] = -torch.inf
        log_p_nBC = torch.log_softmax(logits, dim=2)
        label_nB1 = y_nB[:, :, None]
        loss_nB = -log_p_nBC.gather(2, label_nB1)[:, :num_rows, 0].double()
        torch.exp(log_p_nBC, out=dlogits)
        dlogits.scatter_add_(2, label_nB1, dlogits.new_full((1, 1, 1), -1.0).expand_as(label_nB1))
        dlogits.div_(num_rows)
        dlogits[:, num_rows:] = 0.0
        return _mean(loss_nB)

    def _backward(self, views: Views, num_rows: int, reading: Reading | None) -> None:
        """From `views.dlogits` to `grad`."""
        torch.bmm(views.top.transpose(1, 2), views.dlogits, out=self._weight_grad[-1])
        torch.sum(views.dlogits, 1, out=self._bias_grad[-1])
        top_delta = views.top  # read for the last time above
        torch.bmm(views.dlogits, self._weight[-1].transpose(1, 2), out=top_delta)
        delta = views.deltas[0]
        for layer in reversed(range(len(views.a))):
            count, deeper = self._counts_l[layer], self._counts_l[layer + 1]
            above, delta = delta, views.deltas[layer % 2][:count]
            if deeper:
                torch.bmm(above, self._weight[layer + 1].transpose(1, 2), out=delta[:deeper])
            delta[deeper:] = top_delta[deeper:count]
            a, z = views.a[layer], views.z[layer]
            if reading is not None:
                scratch = views.scratch[:count]
                reading.activations(layer, a[:, :num_rows], z[:, :num_rows], scratch[:, :num_rows])
                self._phi.backward(delta, z)
                reading.exponent_Ln[layer, :deeper] = reading.exponent_Ln[layer + 1, :deeper] if deeper else 0
                reading.rescale(layer, delta, scratch)
                reading.gradients(layer, delta, scratch)
            else:
                self._phi.backward(delta, z)
            torch.sum(delta, 1, out=self._bias_grad[layer])
            previous = views.a[layer - 1][:count] if layer else views.x[:count]
            torch.bmm(previous.transpose(1, 2), delta, out=self._weight_grad[layer])


def _sections(counts: Sequence[int], widths: Widths) -> tuple[Section, ...]:
    units, members = widths.units, counts[0]
    weights = [Section(count, (widths.features if layer == 0 else units) * units) for layer, count in enumerate(counts)]
    weights.append(Section(members, units * widths.classes))
    biases = [Section(count, _piece(units)) for count in counts]
    return (*weights, *biases, Section(members, _piece(widths.classes)))


def _piece(size: int) -> int:
    return -(-size // PIECE) * PIECE


def _by_section(exponent_Ln: Tensor) -> Tensor:
    """Exponents of every section: hidden weights, readout, hidden biases, readout."""
    none_1n = torch.zeros_like(exponent_Ln[:1])
    return torch.cat([exponent_Ln, none_1n, exponent_Ln, none_1n])


def _mean(loss_nB: Tensor) -> Tensor:
    """Mean over rows, added one by one: the order does not depend on how many members there are."""
    return loss_nB.cumsum(1)[:, -1] / loss_nB.shape[1]


def _initial_values(
    layout: Layout, recipes: Sequence[Recipe], seeds: Sequence[int], data: Dataset, widths: Widths, dtype: torch.dtype
) -> Tensor:
    """Parameters of every member, drawn from its own seed and put into place with zeros as padding."""
    flat = np.zeros(layout.length, dtype=np.float32)
    starts, depth = layout.starts, recipes[0].depth

    def piece(section: int, member: int, columns: int) -> NDArray[np.float32]:
        size = layout.sections[section].size
        start = starts[section] + member * size
        return flat[start : start + size // columns * columns].reshape(-1, columns)

    num_features, width = data.shape.num_features, recipes[0].width
    for member, (recipe, seed) in enumerate(zip(recipes, seeds, strict=True)):
        for layer, weight_IO in enumerate(hidden_weights(recipe, seed, num_features)):
            piece(layer, member, widths.units)[: len(weight_IO), :width] = weight_IO
        if recipe.bias_scale > 0:
            for layer, bias_O in enumerate(hidden_biases(recipe, seed)):
                piece(depth + 1 + layer, member, 1)[:width, 0] = bias_O
        readout_IO = readout_weights(recipe, seed, data.num_classes)
        piece(depth, member, widths.classes)[:width, : data.num_classes] = readout_IO
    return torch.from_numpy(flat).to(dtype)
