"""Runs a server that ends when the process that started it ends, also when that process was killed.

``python -m gradstab.system.child_server COMMAND...`` runs the command until it ends by itself, or until standard input
ends. A Ctrl-C or a closed terminal does not stop the server directly: it reaches the process at the other end of
standard input, which then closes it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

from gradstab.system.child_process import ParentPipe


def main() -> int:
    """Run the command. Exit code 0 when the parent ended it, otherwise the command's own."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    stopped = threading.Event()
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, process_group=0) as server:

        def stop(*_: object) -> None:
            stopped.set()
            server.terminate()

        signal.signal(signal.SIGTERM, stop)
        ParentPipe(on_death=stop).listen()
        code = server.wait()
    return 0 if stopped.is_set() else code


if __name__ == "__main__":
    sys.exit(main())
