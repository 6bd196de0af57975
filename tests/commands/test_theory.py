"""`gradstab theory`: the answer comes first, and a name of another program is understood."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from gradstab.cli import cli
from gradstab.errors import UsageError


def test_the_first_line_is_what_to_use():
    told = CliRunner().invoke(cli, ["theory", "--activation", "relu", "--depth", "20"])
    assert told.exit_code == 0, told.output
    assert re.fullmatch(r"Use sigma_w = 1\.4\d+; safe [\d.]+ to [\d.]+ for 20 layers\.", told.stdout.splitlines()[0])


@pytest.mark.parametrize(("typed", "meant"), [("Tanh", "tanh"), ("swish", "silu"), ("leakyrelu", "leaky_relu")])
def test_an_activation_by_another_name_is_understood(typed, meant):
    refused = CliRunner().invoke(cli, ["theory", "--activation", typed]).exception
    assert isinstance(refused, UsageError)
    assert str(refused).endswith(f"did you mean '{meant}'?")
