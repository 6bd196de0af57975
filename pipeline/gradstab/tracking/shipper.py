"""The shipper's process: sends the segments of one results folder to MLflow until its driver ends.

``python -m gradstab.tracking.shipper --folder F``. It may lag, die and be started again at any moment. Standard input
is a pipe from the driver: the line ``finish SECONDS`` means to ship what is left and exit, and to give up after that
long without progress. If the pipe ends without that line, the driver died, and the segment at hand is the last.

Exit codes: 0 everything is shipped, 4 something is not yet in MLflow and is safe in the folder.
"""

from __future__ import annotations

import argparse
import fcntl
import math
import os
import sys
from pathlib import Path

from gradstab.errors import GradstabError
from gradstab.system.child_process import ParentPipe
from gradstab.system.retry import Retry
from gradstab.tracking.mlflow_client import prepare_environment
from gradstab.tracking.segment_shipper import EXIT_WAITING, POLL_S, SegmentShipper
from gradstab.tracking.shipping_files import LOCK_NAME

POLITENESS = (
    2  # niceness; beside two slots on two cores it takes half a core at most (measured), which trials can spare
)


def locked(folder: Path, driver: ParentPipe) -> bool:
    """Wait for the folder's shipper lock and hold it until this process ends; False if the driver ended first.

    The shipper of a driver that was killed may still be busy with its last segment.
    """
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
    retry = Retry(
        BlockingIOError, lambda _: -math.inf if driver.gone else math.inf, pauses=(POLL_S, POLL_S), sleep=driver.wait
    )
    try:
        retry(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def main() -> int:
    """Run the process."""
    parser = argparse.ArgumentParser(description="ships a results folder to MLflow")
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    os.nice(POLITENESS)
    prepare_environment()
    driver = ParentPipe()
    driver.listen()
    try:
        if not locked(folder, driver):
            return EXIT_WAITING
        return SegmentShipper(folder, driver).run()
    except GradstabError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
