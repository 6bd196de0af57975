"""Mean-field theory of wide residual stacks: x + s V phi(W norm(x)), or norm(x + s V phi(W x)).

W and V have entries of standard deviation sigma_w / sqrt(width), and there are no biases. Let q be the mean square of
the stream, p that of what enters W, and E the mean over z ~ N(0, sigma_w^2 p). A block adds c to the mean square of
the stream, and its branch multiplies squared gradients by a:

    c = s^2 sigma_w^2 E[phi(z)^2],    a = s^2 sigma_w^4 E[phi'(z)^2] (p / q).

Without normalisation p = q, q' = q + c, and the block multiplies squared gradients by 1 + a: the full residual network
of Yang & Schoenholz 2017 (Mean field residual networks: on the edge of chaos). Layer normalisation of a wide stream
divides by sqrt(q), forward and backward. Before the branch it makes p = 1; after the addition it divides the block's
factor by q + c and sets q' = 1 (Xiong et al. 2020 have this factor for the post-norm transformer).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from gradstab.activations.activation import Array
from gradstab.theory.layer_maps import Activation, chi_1, length_map

Normalised = Literal["none", "pre", "post"]


def block_gains(
    activation: Activation,
    depth: int,
    *,
    init_scale: float = 1.0,
    residual_scale: float = 1.0,
    norm: Normalised = "none",
    mean_square_input: float = 1.0,
) -> Array:
    """ln of the factor by which each block multiplies squared gradients on their way to the input, shape (L,).

    Args:
        activation: phi.
        depth: blocks L.
        init_scale: sigma_w of W and V.
        residual_scale: s; also what a smaller initial V amounts to, as 1/sqrt(L) for a depth-scaled one.
        norm: where layer normalisation stands: nowhere, before each branch, or after each addition.
        mean_square_input: q of the stream that enters the first block.

    Lengths beyond e^60 count as e^60.
    """
    q, log_gain_L = mean_square_input, np.empty(depth)
    for block in range(depth):
        entering = 1.0 if norm == "pre" else q
        length = init_scale**2 * entering
        added = length_map(activation, residual_scale * init_scale, 0.0, length)
        gained = init_scale**2 * chi_1(activation, residual_scale * init_scale, length) * (entering / q)
        q += added
        log_gain_L[block] = math.log1p(gained)
        if norm == "post":
            log_gain_L[block] -= math.log(q)
            q = 1.0
    return log_gain_L


def residual_ratio(
    activation: Activation,
    depth: int,
    *,
    init_scale: float = 1.0,
    residual_scale: float = 1.0,
    norm: Normalised = "none",
    mean_square_input: float = 1.0,
) -> float:
    """R in decades between the outputs of the first and the last block of a wide stack; not clamped.

    ReLU in closed form: without norm (L-1)/2 log10(1 + s^2 sigma_w^4 / 2), exponential growth, which a scale s of
    1/sqrt(L) bounds; pre-norm 1/2 log10(q^L / q^1), which is 1/2 log10 of something linear in L; post-norm 0.
    tanh without norm: q grows linearly and gradients as exp(c sqrt(L)), less than exponentially.
    """
    log_gain_L = block_gains(
        activation,
        depth,
        init_scale=init_scale,
        residual_scale=residual_scale,
        norm=norm,
        mean_square_input=mean_square_input,
    )
    return float(log_gain_L[1:].sum()) / (2 * math.log(10))
