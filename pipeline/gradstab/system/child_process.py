"""Child processes that run a module of this package, and the pipe by which a parent and its child know of each other.

The parent calls `start` or `run`. This file, run as a script, is the first thing in the child: it imports the package
from the folder that the parent has it from, whatever lies in the current folder or on ``PYTHONPATH``, and then runs
the module. So it needs the standard library alone.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import runpy
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

_FINISH, _NUMBERS = b"finish", b"numbers"
_ASKED_EVERY = 0.5  # seconds
_THIS_FILE = Path(__file__).absolute()
_PACKAGE_FOLDER = str(_THIS_FILE.parents[2])


def start(
    module: str, arguments: Sequence[str], *, output: IO[bytes] | IO[str], env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a module in a child process, and return the process: its standard input is the pipe of its `ParentPipe`.

    Args:
        module: full name of a module of this package that has a ``__main__`` part.
        arguments: its command line.
        output: an open file for what the child writes to standard output and standard error.
        env: variables to add to the parent's environment.
    """
    return subprocess.Popen(
        _command(module, arguments),
        stdin=subprocess.PIPE,
        bufsize=0,
        stdout=output,
        stderr=output,
        env=_environment(env),
        # A Ctrl-C in the terminal does not reach the child. It stays in the parent's session all the same, because
        # Linux compares niceness within a session only.
        process_group=0,
    )


def run(
    module: str,
    said: str,
    arguments: Sequence[str] = (),
    env: Mapping[str, str] | None = None,
    is_over: Callable[[int], bool] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a module in a child process to its end, and return its exit code, standard output and standard error.

    A Ctrl-C in the terminal reaches the parent alone, which then ends the child. If the child received it too, it would
    end with an error that could be taken for its answer.

    Args:
        said: text for the child's standard input.
        is_over: is asked with the child's process id every half second whether to kill it; never by default.

    Raises:
        TimeoutExpired: (subprocess's) the child was killed.
    """
    command = _command(module, arguments)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(env),
        process_group=0,
    ) as child:
        unsaid: str | None = said
        try:
            while True:
                try:
                    output, errors = child.communicate(unsaid, timeout=None if is_over is None else _ASKED_EVERY)
                    return subprocess.CompletedProcess(command, child.returncode, output, errors)
                except subprocess.TimeoutExpired:
                    unsaid = None  # it is on its way
                    if is_over is not None and is_over(child.pid):
                        raise
        except BaseException:  # a Ctrl-C, too
            child.kill()
            raise


def ask_to_finish(child: subprocess.Popen[bytes], patience: float = 0.0) -> None:
    """Ask a child to finish its work and to end, then close its pipe.

    Args:
        patience: seconds without progress after which the child shall give up.
    """
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # the child has ended already
        child.stdin.write(_FINISH + f" {patience:g}\n".encode())
    child.stdin.close()


def send_numbers(child: subprocess.Popen[bytes], *numbers: float) -> None:
    """Send numbers to a child, which finds them in `ParentPipe.numbers`; those sent before are replaced."""
    assert child.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # the child has ended already
        child.stdin.write(_NUMBERS + b" " + " ".join(f"{number:g}" for number in numbers).encode() + b"\n")


class ParentPipe:
    """The parent as its child sees it: a pipe that says ``finish SECONDS``, or ends because the parent died.

    Attributes:
        numbers: what the parent sent last by `send_numbers`.
        gone: the pipe has ended.
        patience: seconds without progress after which to give up, once the parent has asked to finish; None before.
        finishing_since: when the parent asked to finish, on the clock of `time.monotonic`.

    Args:
        on_death: called in the reading thread when the pipe ends before the parent has asked to finish.
    """

    def __init__(self, on_death: Callable[[], None] = lambda: None) -> None:
        self.numbers: tuple[float, ...] = ()
        self.gone = False
        self.patience: float | None = None
        self.finishing_since = 0.0
        self._on_death = on_death
        self._changed = threading.Event()

    @property
    def closing(self) -> bool:
        """Whether the parent has asked to finish, or died."""
        return self.gone or self.patience is not None

    def listen(self, descriptor: int = 0) -> None:
        """Read the pipe, by default standard input, in a thread of its own."""
        threading.Thread(target=self._read, args=(descriptor,), name="parent", daemon=True).start()

    def finish(self, patience: float) -> None:
        """Note that the parent asks to finish."""
        self.finishing_since = time.monotonic()
        self.patience = patience
        self._changed.set()

    def hang_up(self) -> None:
        """Note that the pipe has ended."""
        self.gone = True
        self._changed.set()
        if self.patience is None:
            self._on_death()

    def wait(self, seconds: float) -> None:
        """Sleep, but wake at once when the parent asks to finish or dies."""
        if self._changed.wait(seconds):
            self._changed.clear()

    def _read(self, descriptor: int) -> None:
        # Unbuffered, and not sys.stdin: a thread that waits within a buffer's lock stops the interpreter from ending.
        with open(descriptor, "rb", buffering=0, closefd=False) as pipe:
            for line in pipe:
                word, *numbers = line.split()
                if word == _FINISH:
                    self.finish(float(numbers[0]) if numbers else 0.0)
                elif word == _NUMBERS:
                    self.numbers = tuple(map(float, numbers))
        self.hang_up()


def _command(module: str, arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-P", str(_THIS_FILE), module, *arguments]


def _environment(added: Mapping[str, str] | None) -> dict[str, str]:
    # PYTHONWARNINGS=error would turn a library's warning into the loss of the child's work
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    # what -P does, also for processes that the child starts: a folder `mlflow` in the current one is no library
    return {**inherited, "PYTHONSAFEPATH": "1", **(added or {})}


def _run_module() -> None:
    """Run the module that the command line names, as ``python -m`` would."""
    sys.path.insert(0, _PACKAGE_FOLDER)
    import gradstab  # noqa: F401 - from now on every `import gradstab.x` looks in this package's own folder

    sys.path.remove(_PACKAGE_FOLDER)  # or the folder's other contents would come before the standard library
    del sys.argv[0]
    atexit.register(gc.freeze)  # else Python looks through all objects once more at its end: .7 s in the shipper
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run_module()
