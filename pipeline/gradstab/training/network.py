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

from gradstab.activations.registry import find_activation, passes_of
from gradstab.study.pack_key import padded
from gradstab.study.recipe import Recipe
from gradstab.training.data import Dataset
from gradstab.training.dtypes import DTYPES
from gradstab.training.layout import FlatLayout, scale_by_power_
from gradstab.training.norms import section_norms, total_norms
from gradstab.training.parameters import initial_values, layer_counts, layer_shapes, sections
from gradstab.training.plan import Layer, Plan, Readout
from gradstab.training.probes import LayerValues, Reading
from gradstab.training.products import Compute, products_for
from gradstab.training.workspace import Arena, Views, Widths

_FORWARD_ROWS = 128  # rows per pass if no layer is kept: more rows do not fit the cache


class Network:
    """The members of one stack: parameters and gradients in flat buffers, and the passes that fill them.

    Args:
        recipes: deepest first, with equal pack keys and activations.
        seeds: one per member.
        data, device: the training data, and where all buffers lie.
        began_in: the version in which the study began, which decides the activation's passes and who computes products;
            the newest if None.

    Attributes:
        layout: sections are the weights of each hidden layer, the readout's weights, the biases of each hidden layer,
            the readout's bias (apart, because torch is fast only where a batch of matrices is contiguous).
        value, grad: all parameters, and the gradient of the mean loss left by the last backward pass.
    """

    taps = ()  # its layers have numbers, no names

    def __init__(
        self,
        recipes: Sequence[Recipe],
        seeds: Sequence[int],
        data: Dataset,
        device: torch.device,
        began_in: str | None = None,
    ) -> None:
        recipe = recipes[0]
        dtype = DTYPES[recipe.precision]
        activation = find_activation(recipe.activation)
        self._phi, self._keeps_z = passes_of(activation, began_in), activation.keeps_z
        self._products = products_for(device, began_in)
        self.depths = [r.depth for r in recipes]
        self._width = recipe.width
        self._num_classes = data.num_classes
        self._widths = Widths(padded(data.shape.num_features), padded(recipe.width), padded(data.num_classes))
        self._x_NF, self._y_N = data.tensors(dtype, device)
        self.layout = FlatLayout(len(recipes), sections(layer_counts(self.depths), self._widths))
        self.value = initial_values(self.layout, recipes, seeds, data, self._widths, dtype).to(device)
        self._reading: Reading | None = None
        self._fast_p: Tensor | None = None  # norms of the gradient's pieces, computed while they were in the cache
        self._bind(capacity=padded(max(recipe.batch_size, recipe.probe_samples)))

    def by_layer(self, norm_sn: Tensor) -> Tensor:
        """Norms by hidden layer, which are those of the measured sections."""
        return norm_sn

    def loss_and_gradient(self, rows_nB: NDArray[np.int64]) -> Tensor:
        """Mean loss of each member on its own rows (n,), float64; leaves the gradient of that loss in `grad`."""
        return self._pass(rows_nB, None)

    def probe(self, rows_nB: NDArray[np.int64]) -> tuple[Tensor, LayerValues]:
        """Like `loss_and_gradient`, and also reads the layer statistics."""
        reading = self._begun_reading(rows_nB.shape[1])
        loss_n = self._pass(rows_nB, reading)
        depth = self.depths[0]
        norm_sn = section_norms(self.layout, self.grad, self._fast_p)
        values = reading.values(self._plan(padded(rows_nB.shape[1])).views.a, norm_sn[:depth], norm_sn[depth + 1 : -1])
        if bool(reading.exponent_Ln.any()):
            scale_by_power_(self.layout, self.grad, _by_section(reading.exponent_Ln))
            self._fast_p = None
        return loss_n, values

    @np.errstate(all="ignore")  # a NaN is a result here
    def accuracy(self, rows: NDArray[np.int64]) -> Tensor:
        """Fraction of the rows that each member classifies correctly (n,), float64; a non-finite logit is wrong."""
        correct_n = torch.zeros(self.layout.members, dtype=torch.int64, device=self.value.device)
        chunk = min(_FORWARD_ROWS, self._arena.capacity)
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            plan = self._plan(padded(len(part)), keeps_layers=False)
            x_BF, y_B = self._fetch(part, padded(len(part)))
            first = plan.layers[0]
            x_nBF = x_BF.expand(self.layout.members, -1, -1)
            self._forward(plan, self._products.product(x_nBF, first.weight, first.z))
            best_nB, class_nB = plan.views.logits[:, : len(part), : self._num_classes].max(2)
            correct_n += ((class_nB == y_B[: len(part)]) & torch.isfinite(best_nB)).sum(1)
        return correct_n.double() / len(rows)

    def grad_norms(self) -> Tensor:
        """Norm of each member's whole gradient as the last backward pass left it (n,), float64."""
        return total_norms(self.layout, self.grad, self._fast_p)

    def keep(self, members: Sequence[int]) -> None:
        """Keep only these members (ascending)."""
        self.value = self.layout.kept(self.value, members)
        self.layout = self.layout.keep(members)
        self.depths = [self.depths[member] for member in members]
        self._bind(self._arena.capacity)

    def _bind(self, capacity: int) -> None:
        """Allocate gradients and buffers for the current members."""
        self.layer_counts = layer_counts(self.depths)
        depth_n = torch.tensor(self.depths, device=self.value.device)
        self._present_Ln = torch.arange(self.depths[0], device=self.value.device)[:, None] < depth_n
        self.num_layers = self.depths[0]
        self.grad = torch.zeros_like(self.value)
        self._norm_p = self.value.new_zeros(sum(section.members for section in self.layout.sections))
        self._fast_p = None
        self._arena = Arena(
            self.layer_counts, capacity, self._widths, self._keeps_z, self.value.dtype, self.value.device
        )
        self._plans: dict[tuple[int, bool], Plan] = {}
        self._reading = None

    def _begun_reading(self, num_rows: int) -> Reading:
        """A reading on this many rows, in the memory of the last one if that had as many."""
        if self._reading is None or self._reading.num_rows != num_rows:
            self._reading = Reading(self.layer_counts, num_rows, self._width, self._phi, self._present_Ln, self.value)
        self._reading.begin()
        return self._reading

    def _plan(self, rows: int, *, keeps_layers: bool = True) -> Plan:
        """The views of a pass over this many rows, made once."""
        key = (rows, keeps_layers)
        if key not in self._plans:
            views, products = self._arena.views(rows, keeps_layers=keeps_layers), self._products
            weights, weight_grads = self._matrices(self.value), self._matrices(self.grad)
            biases, bias_grads = self._vectors(self.value), self._vectors(self.grad)
            readout = Readout(
                bias=biases[-1][:, None, :],
                forward=products.product(views.top, weights[-1], views.logits),
                weight_gradient=products.product(views.top.mT, views.dlogits, weight_grads[-1]),
                bias_gradient=products.row_sums(views.dlogits, bias_grads[-1]),
                backward=products.product(views.dlogits, weights[-1].mT, views.top),
            )
            grad_norms = self._norms_after_layers()
            layers = []
            for layer, (count, deeper) in enumerate(zip(self.layer_counts, [*self.layer_counts[1:], 0], strict=True)):
                a, delta = views.a[layer], views.deltas[layer]
                previous = (views.a[layer - 1] if layer else views.x)[:count]
                below = views.deltas[layer - 1][:count] if layer else None  # takes the gradient of the layer's input
                layers.append(
                    Layer(
                        weight=weights[layer],
                        bias=biases[layer][:, None, :],
                        forward=products.product(previous, weights[layer], views.z[layer]),
                        weight_gradient=products.product(previous.mT, delta, weight_grads[layer]),
                        bias_gradient=products.row_sums(delta, bias_grads[layer]),
                        backward=None if below is None else products.product(delta, weights[layer].mT, below),
                        grad_norms=grad_norms[layer],
                        z=views.z[layer],
                        a=a,
                        delta=delta,
                        scratch=views.scratch[:count],
                        padding=a[:, :, self._width :],
                        leaves=deeper < count,
                        leaving_a=a[deeper:],
                        leaving_top=views.top[deeper:count],
                        leaving_delta=delta[deeper:],
                    )
                )
            self._plans[key] = Plan(views, layers, readout)
        return self._plans[key]

    def _matrices(self, flat: Tensor) -> list[Tensor]:
        """Weights of hidden layers and readout, shape (n_l, in, out)."""
        shapes = layer_shapes(self.depths[0], self._widths)
        return [self.layout.section(flat, layer).view(-1, *shape) for layer, shape in enumerate(shapes)]

    def _vectors(self, flat: Tensor) -> list[Tensor]:
        """Biases of hidden layers and readout, shape (n_l, out)."""
        shapes = layer_shapes(self.depths[0], self._widths)
        first = len(shapes)
        return [self.layout.section(flat, first + layer)[:, :size] for layer, (_, size) in enumerate(shapes)]

    def _fetch(self, rows: NDArray[np.int64], num_padded: int, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Rows (..., B) of the data and their labels; each batch is filled up with zero rows to `num_padded`."""
        missing = [(0, 0)] * (rows.ndim - 1) + [(0, num_padded - rows.shape[-1])]
        filled = np.pad(rows, missing, constant_values=len(self._x_NF) - 1) if missing[-1][1] else rows
        index = torch.tensor(filled, device=self.value.device)
        flat_out = None if out is None else out.view(-1, out.shape[-1])
        x_RF = torch.index_select(self._x_NF, 0, index.view(-1), out=flat_out)
        return x_RF.view(*index.shape, -1), self._y_N[index]

    @np.errstate(all="ignore")
    def _pass(self, rows_nB: NDArray[np.int64], reading: Reading | None) -> Tensor:
        num_rows = rows_nB.shape[1]
        plan = self._plan(padded(num_rows))
        _, y_nB = self._fetch(rows_nB, padded(num_rows), out=plan.views.x)
        self._forward(plan, plan.layers[0].forward)
        loss_n = self._loss(plan.views, y_nB, num_rows)
        self._backward(plan, num_rows, reading)
        return loss_n

    def _forward(self, plan: Plan, first: Compute) -> None:
        """From inputs to logits; `first` is the product of the inputs and the weights of the first layer."""
        clears_padding = not self._phi.fixes_zero and self._width < self._widths.units
        for index, layer in enumerate(plan.layers):
            (layer.forward if index else first)()
            layer.z.add_(layer.bias)  # cheaper than copies of biases to which products are added
            self._phi.apply(layer.z, layer.a)
            if clears_padding:
                layer.padding.zero_()
            if layer.leaves:
                layer.leaving_top.copy_(layer.leaving_a)
        plan.readout.forward()
        plan.views.logits.add_(plan.readout.bias)

    def _loss(self, views: Views, y_nB: Tensor, num_rows: int) -> Tensor:
        """Mean cross-entropy (n,), float64; leaves the gradient of the mean loss by logits in `views.dlogits`."""
        logits, dlogits = views.logits, views.dlogits
        logits[:, :, self._num_classes :] = -torch.inf
        log_p_nBC = torch.log_softmax(logits, dim=2)
        label_nB1 = y_nB[:, :, None]
        loss_nB = -log_p_nBC.gather(2, label_nB1)[:, :num_rows, 0].double()
        torch.softmax(logits, 2, out=dlogits)
        dlogits.scatter_add_(2, label_nB1, dlogits.new_full((1, 1, 1), -1.0).expand_as(label_nB1))
        dlogits.div_(num_rows)
        dlogits[:, num_rows:] = 0.0
        return _mean(loss_nB)

    def _backward(self, plan: Plan, num_rows: int, reading: Reading | None) -> None:
        """From the gradient by logits to `grad`."""
        readout = plan.readout
        readout.weight_gradient()
        readout.bias_gradient()
        readout.backward()
        for index in reversed(range(len(plan.layers))):
            layer = plan.layers[index]
            if layer.leaves:
                layer.leaving_delta.copy_(layer.leaving_top)
            if reading is not None:
                reading.activations(index, layer.a[:, :num_rows], layer.z[:, :num_rows], layer.scratch[:, :num_rows])
            self._phi.backward(layer.delta, layer.z)
            if reading is not None:
                reading.gradients(index, layer.delta, layer.scratch)
            layer.bias_gradient()
            layer.weight_gradient()
            for norms in layer.grad_norms:
                norms()
            if layer.backward is not None:
                layer.backward()
        self._fast_p = self._norm_p

    def _norms_after_layers(self) -> list[list[Compute]]:
        """By layer, the norms of the gradient's blocks that are complete after that layer.

        The backward pass goes from the last layer to the first, so a block is complete after the layer in which it
        begins. Biases never share a block with weights, whose pieces are larger.
        """
        section_p, _ = self.layout.piece_index(self.value.device)
        after: list[list[Compute]] = [[] for _ in range(self.num_layers)]
        for block in self.layout.blocks:
            section = int(section_p[block.first])
            layer = section if section < self.num_layers else 0  # everything except hidden weights: after the last one
            after[layer].append(self._products.norms(block.view(self.grad), block.of(self._norm_p)))
        return after


def _by_section(exponent_Ln: Tensor) -> Tensor:
    """Exponents of every section: hidden weights, readout, hidden biases, readout."""
    none_1n = torch.zeros_like(exponent_Ln[:1])
    return torch.cat([exponent_Ln, none_1n, exponent_Ln, none_1n])


def _mean(loss_nB: Tensor) -> Tensor:
    """Mean over rows, added one by one: the order does not depend on how many members there are."""
    return loss_nB.cumsum(1)[:, -1] / loss_nB.shape[1]
