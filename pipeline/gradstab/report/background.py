"""The report and the heat maps of a study that runs, made again and again: a process of its own.

``python -m gradstab.report.background --folder F``. Standard input is the driver's pipe: two numbers say how far the
run has come (see `pace`), and a line ``finish`` means make both once more and exit. The end of input without that line
means that the driver died, and this process ends too. It is nice, and takes at most a twentieth of the run's CPU and a
tenth of a core until the run ends. The shipper ships what it finds.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import sys
import time
from pathlib import Path

from gradstab.errors import GradstabError
from gradstab.record.segments import read_segment
from gradstab.record.study_folder import StudyFolder
from gradstab.report.pace import RunSoFar, is_remake_due
from gradstab.report.report import make_report
from gradstab.results.results import Results
from gradstab.results.trial_rows import measured_trials
from gradstab.system.child_process import ParentPipe

POLITENESS = 10
REST = 9.0  # seconds of rest for each CPU second of work
SHORTEST_REST_S = 5.0
COST_PER_START = 4.0  # a first report by what the start of this process took (measured): a slow machine shows at once
LONGEST_DRAWING_S = 30.0  # maps that are missing then are drawn when the user asks for them
COLLECT_AFTER = 50_000  # new objects: figures have so many that Python's 700 take a twentieth of a report's time
MAPS_AT_ONCE = 10  # while a study runs; at its end all missing maps are drawn


def remake(folder: StudyFolder, most_maps: int | None) -> None:
    """Make the report, and the missing heat maps of the trials nearest the boundary."""
    results = Results(folder)
    make_report(results)
    draw_nearest(results, results.study.tracking.heat_maps, most_maps)


def draw_nearest(results: Results, count: int, most: int | None = None) -> None:
    """Draw the missing heat maps of the `count` trials nearest the boundary, at most `most` of them."""
    from gradstab.figures.heat_maps import trial_folder

    margins = {row.number: trial.judgement.margin for row, trial in measured_trials(results.rows)}
    nearest = sorted(margins, key=lambda number: abs(margins[number]))[:count]
    missing = [number for number in nearest if not trial_folder(results.folder.path, number).exists()]
    draw_trials(results, missing[:most], LONGEST_DRAWING_S)


def draw_trials(results: Results, numbers: list[int], patience: float = math.inf) -> None:
    """Draw the heat maps of some trials; each segment is read once. No map is begun after `patience` seconds."""
    from gradstab.figures.heat_maps import write_heat_maps

    wanted, end = set(numbers), time.monotonic() + patience
    for path in sorted({row.segment for row in results.rows if row.number in wanted}):
        for record in read_segment(path):
            in_time = time.monotonic() < end
            if in_time and record.number in wanted and record.trajectory is not None:
                write_heat_maps(record, results.folder.path)


def loop(folder: StudyFolder, driver: ParentPipe) -> None:
    """Make the report whenever there are new trials and it is due, and once more at the end."""
    made, rest, cost = 0, SHORTEST_REST_S, COST_PER_START * time.process_time()
    while True:
        driver.wait(rest)
        last = driver.closing
        if last or (driver.numbers and _is_due(driver.numbers, cost) and folder.num_recorded() > made):
            began, recorded = time.process_time(), folder.num_recorded()
            try:
                remake(folder, None if last else MAPS_AT_ONCE)
                made = recorded
            except (GradstabError, OSError) as error:
                print(error, file=sys.stderr, flush=True)
            cost = time.process_time() - began
            rest = max(SHORTEST_REST_S, REST * cost)
        if last:
            return


def _is_due(numbers: tuple[float, ...], cost: float) -> bool:
    return is_remake_due(RunSoFar(*numbers), time.process_time(), cost)


def main() -> int:
    """Run the process until its driver ends."""
    parser = argparse.ArgumentParser(description="remakes a study's report while it runs")
    parser.add_argument("--folder", type=Path, required=True)
    folder = StudyFolder(parser.parse_args().folder)
    os.nice(POLITENESS)
    gc.set_threshold(COLLECT_AFTER)
    driver = ParentPipe(on_death=lambda: os._exit(0))
    driver.listen()
    loop(folder, driver)
    return 0


if __name__ == "__main__":
    sys.exit(main())
