"""Which networks come with gradstab, by name. Reading this imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

FAMILIES: Mapping[str, str] = {
    "conv": "gradstab.families.conv",
    "mlp": "gradstab.families.mlp",
    "residual": "gradstab.families.residual",
    "rnn": "gradstab.families.rnn",
    "transformer": "gradstab.families.transformer",
}
"""The module of each family. It has `build`, `loss` and `TRACED`: the arguments of `build` in which members of one
pack may differ, because they change values and no structure."""
