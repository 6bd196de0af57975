"""Mean-field theory of a wide vanilla recurrent cell, z^t = W phi(z^(t-1)) + V x^t, along time.

W has entries of standard deviation sigma_w / sqrt(width), and V x^t is Gaussian of one variance, the drive, with values
that change from step to step. Then every step is a layer of a fully connected stack whose bias has the drive's
variance, although all steps share W.

Source: Chen, Pennington & Schoenholz 2018 (Dynamical isometry and a mean field theory of RNNs), equations of the
vanilla network.
"""

from __future__ import annotations

import math

import numpy as np

from gradstab.activations.activation import Array
from gradstab.activations.registry import as_function
from gradstab.theory.fixed_points import log_attractors
from gradstab.theory.layer_maps import Activation, add_bias, chi_1, length_map


def step_gains(activation: Activation, steps: int, *, init_scale: float, drive: float) -> Array:
    """ln of the factor by which each step multiplies squared gradients on their way back, ln chi_1(q^t), shape (T,).

    Args:
        activation: phi.
        steps: T, from a zero state before the first step.
        init_scale: sigma_w.
        drive: variance of an entry of V x^t, which is sigma_v^2 times the mean square of the inputs; above 0.
    """
    q, log_gain_T = drive, np.empty(steps)
    for step in range(steps):
        log_gain_T[step] = math.log(chi_1(activation, init_scale, q))
        q = length_map(activation, init_scale, math.sqrt(drive), q)
    return log_gain_T


def recurrent_ratio(activation: Activation, steps: int, *, init_scale: float, drive: float) -> float:
    """R in decades between the states phi(z^1) and phi(z^T) of a wide cell; not clamped.

    Between z^1 and z^T, which `gradstab.probe` compares where the input has one number a step, the last gain is left
    out instead of the first.
    """
    log_gain_T = step_gains(activation, steps, init_scale=init_scale, drive=drive)
    return float(log_gain_T[1:].sum()) / (2 * math.log(10))


def settled_rate(activation: Activation, *, init_scale: float, drive: float) -> float:
    """lambda per step in a long sequence, 1/2 ln chi_1 at the length at which the state settles.

    Below 0 gradients reach -1/lambda steps back before they are smaller by e; above 0 they explode.
    """
    bias_scale = math.sqrt(drive)
    log_scale_M = np.array([math.log(init_scale)])
    log_start_M = add_bias(2 * log_scale_M, bias_scale)
    log_q = float(log_attractors(as_function(activation), log_scale_M, bias_scale, log_start_M)[0])
    return 0.5 * math.log(chi_1(activation, init_scale, math.exp(log_q)))
