"""Where blocks run: one bash for the commands of a page, one Python for its Python blocks."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

LINK = "http://127.0.0.1"
_END = "__the_command_has_ended__"


class TooLongError(Exception):
    """The time for all pages is used up."""


class Shell:
    """A bash that keeps its folder and variables from one command to the next."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by `close`
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        assert self._bash.stdin is not None
        self._bash.stdin.write("set -o pipefail\n")  # a command that fails fails with a filter behind it, too

    def run(self, command: str, seconds: float, *, until_link: bool = False) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of a command.

        Args:
            until_link: interrupt it, as Ctrl-C does, once it has printed a link.

        Raises:
            TooLongError: it does not end in time.
        """
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        begin = self._errors.seek(0, os.SEEK_END)
        script = _interrupted_at_link(command) if until_link else f"{command}\n"
        self._bash.stdin.write(f"{{ {script}}} </dev/null\nprintf '\\n%s %d\\n' {_END} $?\n")
        self._bash.stdin.flush()
        timer = _killed_after(seconds, self._bash)
        lines: list[str] = []
        try:
            for line in self._bash.stdout:
                if line.startswith(_END):
                    self._errors.seek(begin)
                    output = "".join(lines)
                    return int(line.split()[1]), output.removesuffix("\n"), self._errors.read()
                lines.append(line)
        finally:
            timer.cancel()
        raise TooLongError(command)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        for stream in (self._bash.stdin, self._bash.stdout, self._errors):
            assert stream is not None
            stream.close()
        self._bash.wait()


def _interrupted_at_link(command: str) -> str:
    """A script that starts the command, waits for a link on its output, and interrupts it."""
    return (
        f"o=$(mktemp); (exec {command}\n) >$o & p=$!; "
        f"while kill -0 $p 2>/dev/null && ! grep -q {LINK} $o; do sleep 0.2; done; "
        "kill -INT $p 2>/dev/null; wait $p; c=$?; cat $o; "
        f"grep -q {LINK} $o && (exit $c)\n"
    )


def _killed_after(seconds: float, process: subprocess.Popen[str]) -> Any:
    import threading

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(max(0.1, seconds), kill)
    timer.start()
    return timer


class Python:
    """A process that runs blocks of Python one after another in one namespace."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, folder, dict(environment)))
        self._process.start()
        there.close()  # so that its end is seen here when the process ends

    def run(self, code: str, seconds: float) -> tuple[str, str]:
        """What a block prints, and its traceback if it fails.

        Raises:
            TooLongError: it does not end in time.
        """
        self._here.send(code)
        end = time.monotonic() + max(0.1, seconds)
        while not self._here.poll(0.5):
            if time.monotonic() > end:
                raise TooLongError(code)
        try:
            output, error = self._here.recv()
        except EOFError:
            self._process.join()
            return "", f"the process ended with exit code {self._process.exitcode}"
        return output, error

    def close(self) -> None:
        self._here.close()  # ends the loop of the process
        self._process.join(1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, folder: Path, environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.path[:0] = [str(folder), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    namespace: dict[str, Any] = {"__name__": "__main__"}
    while True:
        try:
            code = connection.recv()
        except EOFError:
            return
        output, error = io.StringIO(), ""
        with contextlib.redirect_stdout(output):
            try:
                exec(compile(code, "<block>", "exec"), namespace)
            except BaseException:
                error = traceback.format_exc()
        connection.send((output.getvalue(), error))
