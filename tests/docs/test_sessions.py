"""The bash and the Python in which the blocks of the documentation run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.docs.sessions import Python, Shell, TooLongError

SECONDS = 120.0  # patience, on a machine with much else to do


@pytest.fixture
def shell(tmp_path) -> Iterator[Shell]:
    opened = Shell(tmp_path, {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    yield opened
    opened.close()


@pytest.fixture
def python(tmp_path) -> Iterator[Python]:
    opened = Python(tmp_path, {"PATH": os.environ["PATH"], "MARK": "mine"})
    yield opened
    opened.close()


def test_a_shell_keeps_its_folder_and_variables_and_tells_streams_apart(shell):
    assert shell.run("mkdir sub && cd sub && A=1  # as a page says it", SECONDS) == (0, "", "")
    assert shell.run('echo "$A" $(basename $PWD); echo bad >&2; false', SECONDS) == (1, "1 sub\n", "bad\n")
    assert shell.run("not-there | sed -n 1p", SECONDS)[0] == 127, "the filter alone ends well"
    assert shell.run("printf %s unended; cat", SECONDS) == (0, "unended", ""), "standard input is empty"


@pytest.mark.parametrize(("code", "ends"), [("exit 0", 0), ("exit 3", 3)])
def test_a_server_is_interrupted_once_it_has_printed_its_link(shell, tmp_path, code, ends):
    server = tmp_path / "server"
    server.write_text(
        "import signal, sys, time\n"
        f"signal.signal(signal.SIGINT, lambda *_: sys.{code.replace(' ', '(')}))\n"
        "print('http://127.0.0.1:5000', flush=True)\ntime.sleep(600)\n"
    )
    found = shell.run("python3 server  # opens it", SECONDS, until_link=True)
    assert found == (ends, "http://127.0.0.1:5000\n", "")


def test_a_server_that_ends_without_a_link_has_failed(shell):
    code, output, _ = shell.run("echo nothing", SECONDS, until_link=True)
    assert (code, output) == (1, "nothing\n")


def test_a_command_that_takes_too_long_is_ended(shell):
    with pytest.raises(TooLongError):
        shell.run("sleep 600", 0.5)


def test_python_keeps_its_names_and_goes_on_after_an_error(python, tmp_path):
    output, error = python.run("import os\na = 2\nprint(a, os.environ['MARK'], os.getcwd())", SECONDS)
    assert (output, error) == (f"2 mine {tmp_path}\n", "")
    output, error = python.run("print(a)\n1 / 0", SECONDS)
    assert output == "2\n"
    assert error.endswith("ZeroDivisionError: division by zero\n")
    assert python.run("print(a + 1)", SECONDS) == ("3\n", "")


def test_a_python_that_takes_too_long_is_told(python):
    with pytest.raises(TooLongError):
        python.run("import time; time.sleep(600)", 0.5)


def test_a_python_that_dies_is_told(python):
    output, error = python.run("import os; os._exit(7)", SECONDS)
    assert (output, error) == ("", "the process ended with exit code 7")
