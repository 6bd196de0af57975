"""The help of every verb: two examples that can be typed, and summaries that are not cut in 80 columns."""

from __future__ import annotations

import shlex

import click
import pytest
from click.testing import CliRunner

from gradstab.cli import EXAMPLES, VERBS, cli


def test_the_list_of_commands_is_not_cut_in_80_columns():
    told = CliRunner().invoke(cli, ["--help"], terminal_width=80)
    assert "..." not in told.output.partition("Commands:")[2]
    words = " ".join(told.output.split())
    for _, _, line in VERBS.values():
        assert line in words


@pytest.mark.parametrize("verb", VERBS)
def test_every_help_ends_with_two_examples_that_its_parser_takes(verb):
    told = CliRunner().invoke(cli, [verb, "--help"], terminal_width=80)
    assert told.exit_code == 0, told.output
    examples = [line.strip() for line in told.output.partition("Examples:\n")[2].splitlines() if line.strip()]
    assert tuple(examples) == EXAMPLES[verb], "they are printed as they are, one a line"
    assert len(examples) == 2
    assert all(len(line) <= 80 for line in told.output.splitlines())
    command = cli.get_command(click.Context(cli), verb)
    assert command is not None
    for example in examples:
        program, name, *arguments = shlex.split(example)
        assert (program, name) == ("gradstab", verb)
        command.make_context(verb, arguments)
