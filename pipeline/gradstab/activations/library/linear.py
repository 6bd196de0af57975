"""linear: phi(z) = z. Its networks are products of matrices, which makes it the control of every other activation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gradstab.activations.activation import Activation, Passes, ScalarFunction

if TYPE_CHECKING:
    from torch import Tensor


def theory() -> ScalarFunction:
    """phi and its derivative for theory."""
    return ScalarFunction("linear", lambda u: u, np.ones_like)


def passes() -> Passes:
    """phi and its derivative for training: nothing to do, since `out` is z already."""

    def nothing(first: Tensor, second: Tensor) -> None:
        del first, second

    return Passes(nothing, nothing)


ACTIVATION = Activation(theory, passes, keeps_z=False, dear=False)
