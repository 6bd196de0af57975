"""Makes the report and the heat maps of a study that runs, again and again: the work of the process `background`.

It takes at most a twentieth of the run's CPU and a tenth of a core until the run ends.
"""

from __future__ import annotations

import gc
import math
import sys
import time

from gradstab.errors import GradstabError
from gradstab.record.segments import read_segment
from gradstab.record.study_folder import StudyFolder
from gradstab.report.pace import RunSoFar, is_remake_due
from gradstab.report.report import make_report
from gradstab.results.results import Results
from gradstab.results.trial_rows import measured_trials
from gradstab.system.child_process import ParentPipe

REST = 9.0  # seconds of rest for each CPU second of work
SHORTEST_REST_S = 5.0
COST_PER_START = 4.0  # a first report by what the start of this process took (measured): a slow machine shows at once
LONGEST_DRAWING_S = 30.0  # maps that are missing then are drawn when the user asks for them
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
            if not last:
                gc.collect()  # figures hold each other, and this process looks for such cycles seldom
            cost = time.process_time() - began
            rest = max(SHORTEST_REST_S, REST * cost)
        if last:
            return


def _is_due(numbers: tuple[float, ...], cost: float) -> bool:
    return is_remake_due(RunSoFar(*numbers), time.process_time(), cost)
