"""A server on a leash: it ends with the process that started it, however that one ended, `kill -9` included.

``python -m gradstab.system.child_server COMMAND...`` runs the command until it ends, or until
standard input does. A Ctrl-C or a closed terminal reaches whoever holds the other end, and through it the server, once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def main() -> int:
    """The process: 0 where the leash ended it, else the command's own exit code."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    pulled = threading.Event()
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, process_group=0) as server:

        def pull(*_: object) -> None:
            pulled.set()
            server.terminate()

        def hold() -> None:
            while os.read(0, 1):  # not sys.stdin, whose lock a thread would hold when this process ends
                pass
            pull()

        signal.signal(signal.SIGTERM, pull)
        threading.Thread(target=hold, name="leash", daemon=True).start()
        code = server.wait()
    return 0 if pulled.is_set() else code


if __name__ == "__main__":
    sys.exit(main())
