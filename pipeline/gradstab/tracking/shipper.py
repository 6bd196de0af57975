"""The shipper's process: sends the segments of one results folder to MLflow until its driver ends.

``python -m gradstab.tracking.shipper --folder F``. It may lag, die and be started again at any moment. Standard input
is a pipe from the driver: the line ``finish SECONDS`` means to ship what is left and exit, and to give up after that
long without progress. If the pipe ends without that line, the driver died, and the segment at hand is the last.

Exit codes: 0 everything is shipped, 4 something is not yet in MLflow and is safe in the folder.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from pathlib import Path

from gradstab.errors import GradstabError
from gradstab.tracking.mlflow_store import prepare_environment
from gradstab.tracking.retry import DriverEnd
from gradstab.tracking.segment_shipper import EXIT_WAITING, POLL_S, SegmentShipper
from gradstab.tracking.shipping_files import LOCK_NAME

POLITENESS = (
    2  # niceness; beside two slots on two cores it takes half a core at most (measured), which trials can spare
)


def locked(folder: Path, driver: DriverEnd) -> bool:
    """Wait for the folder's shipper lock and hold it until this process ends; False if the driver ended first.

    The shipper of a driver that was killed may still be busy with its last segment.
    """
    descriptor = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if driver.gone:
                os.close(descriptor)
                return False
            driver.wait(POLL_S)
        else:
            return True


def main() -> int:
    """Run the process."""
    parser = argparse.ArgumentParser(description="ships a results folder to MLflow")
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    os.nice(POLITENESS)
    prepare_environment()
    driver = DriverEnd()
    driver.listen(sys.stdin)
    try:
        if not locked(folder, driver):
            return EXIT_WAITING
        return SegmentShipper(folder, driver).run()
    except GradstabError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
