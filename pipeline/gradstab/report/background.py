"""The process that makes the report and the heat maps of a study that runs.

``python -m gradstab.report.background --folder F``. Standard input is the driver's pipe: two numbers say how far the
run has come (see `pace`), and a line ``finish`` means make both once more and exit. The end of input without that line
means that the driver died, and this process ends too. It is nice. The shipper ships what it finds.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from pathlib import Path

from gradstab.system.child_process import ParentPipe

POLITENESS = 10
COLLECT_AFTER = 50_000  # new objects: Python's own 700 take a fifteenth of the time of imports and figures


def main() -> int:
    """Run the process until its driver ends."""
    parser = argparse.ArgumentParser(description="remakes a study's report while it runs")
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    os.nice(POLITENESS)
    gc.set_threshold(COLLECT_AFTER)
    driver = ParentPipe(on_death=lambda: os._exit(0))
    driver.listen()
    from gradstab.record.study_folder import StudyFolder  # here, because imports make most of the objects
    from gradstab.report.remaking import loop

    loop(StudyFolder(folder), driver)
    return 0


if __name__ == "__main__":
    sys.exit(main())
