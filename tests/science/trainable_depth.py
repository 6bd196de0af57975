"""How deep tanh networks may be and still train, in units of theory's depth scale xi_c."""

from __future__ import annotations

import math

from gradstab.results.results import Results
from gradstab.theory.forecast import scale_forecast
from tests.science.claims import Claim
from tests.science.crossings import Crossing, crossings

SQUARED_SCALES = (1.0, 1.3, 3.4, 4.0)
LOWEST, HIGHEST = 3.5, 7.5  # depth over xi_c
_UNIT = 0.1  # of accuracy


def depth_of_half(results: Results, init_scale: float) -> Crossing | None:
    """Depth at which the accuracy on training rows falls through one half; None where it does not."""
    trials = results.trials
    near = trials[(trials["init_scale"] / init_scale - 1).abs() < 1e-4]
    depth_N, accuracy_N = near["depth"].to_numpy(dtype=float), near["accuracy"].to_numpy(dtype=float)
    found = crossings(depth_N, 0.5 - accuracy_N, [0.0], _UNIT) if len(near) else None
    return found[0] if found else None


def claims(results: Results) -> list[Claim]:
    """One a squared init scale."""
    made = []
    for squared in SQUARED_SCALES:
        xi = scale_forecast("tanh", math.sqrt(squared), math.sqrt(0.05), 20).depth_scale
        assert xi is not None
        title = f"tanh, sigma_w^2 = {squared:g}: trainable depth / xi_c ({xi:.2f})"
        bound = f"in [{LOWEST}, {HIGHEST}]"
        found = depth_of_half(results, math.sqrt(squared))
        if found is None:
            made.append(Claim(title, bound, "accuracy does not cross one half", 0, "", False))
            continue
        low, high = found.interval
        ratio = found.value / xi
        made.append(
            Claim(
                title,
                bound,
                f"{ratio:.2f} (depth {found.value:.1f})",
                found.num_trials,
                f"{low / xi:.2f} to {high / xi:.2f}",
                LOWEST <= ratio <= HIGHEST,
            )
        )
    return made
