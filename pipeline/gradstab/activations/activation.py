"""What an activation is to the rest of the program: a function for theory, passes for training, a cost for planning.

Nothing here imports torch: a study is checked and its cost is estimated without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradstab.system.version_order import later

if TYPE_CHECKING:
    from torch import Tensor

    Apply = Callable[[Tensor, Tensor], None]  # z, out for phi(z); both are the same tensor where z is not kept
    Backward = Callable[[Tensor, Tensor], None]  # delta, to be multiplied by phi', and what is kept: z or phi(z)
    TensorFunction = Callable[[Tensor], Tensor]

Array = NDArray[np.float64]

SATURATION_FRACTION = 0.01  # a unit is saturated where |phi'| is below this fraction of its maximum


@dataclass(frozen=True)
class ScalarFunction:
    """phi and its derivative on float64 arrays, element by element: what mean-field theory needs.

    Attributes:
        name: what sentences call it.
        kinks: where phi is not smooth, besides 0, where it may have a kink too. A kink that is left out costs accuracy:
            chi_1 of a hard tanh is then wrong by 3 % instead of 1e-12.
    """

    name: str
    phi: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    kinks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Passes:
    """phi and its derivative in torch, applied in place to all layers of a stack of networks at once.

    Attributes:
        apply: writes phi(z) into `out`.
        backward: multiplies delta by phi'(z) in place, given z where it is kept and a = phi(z) where it is not.
        max_slope: the largest |phi'|.
        fixes_zero: whether phi(0) = 0, so that padded units stay zero by themselves.
        nonnegative: whether phi(z) >= 0 everywhere, which saves the statistics a pass.
        saturation: does what `mark_saturated` does in fewer passes than `backward` allows.
    """

    apply: Apply
    backward: Backward
    max_slope: float = 1.0
    fixes_zero: bool = True
    nonnegative: bool = False
    saturation: Apply | None = None

    def mark_saturated(self, kept: Tensor, out: Tensor) -> None:
        """Write 1 into `out` where |phi'(z)| is below 1 % of its maximum, and 0 elsewhere."""
        if self.saturation is not None:
            self.saturation(kept, out)
            return
        out.fill_(1.0)
        self.backward(out, kept)
        out.abs_().lt_(SATURATION_FRACTION * self.max_slope)


class Until(NamedTuple):
    """Passes that were in use until a version of gradstab: studies that began before it keep them.

    New passes whose results differ in any bit are a new version of the activation, so that a study has one kind of
    results from its first trial to its last.
    """

    version: str
    passes: Callable[[], Passes]


@dataclass(frozen=True)
class Activation:
    """One activation.

    Attributes:
        theory: returns phi and its derivative for theory; called only where theory is asked.
        passes: imports torch and returns the passes; called only where networks are trained.
        keeps_z: whether `Passes.backward` needs the pre-activations z, which then take memory beside a = phi(z).
        dear: whether a value costs much more time than one of tanh, ReLU or sigmoid.
        earlier: the passes of earlier versions, oldest first.
    """

    theory: Callable[[], ScalarFunction]
    passes: Callable[[], Passes]
    keeps_z: bool = True
    dear: bool = True
    earlier: tuple[Until, ...] = ()

    def passes_of(self, began_in: str | None) -> Passes:
        """The passes of studies that began in that version of gradstab; the newest if None."""
        for until in self.earlier:
            if began_in is not None and later(until.version, began_in):
                return until.passes()
        return self.passes()
