"""`python -m tests.bench.regions`: planted regions, ways to sample them, and whether what is claimed is true.

Jobs run seed by seed, so that a run that is cut off by --minutes has all arms with fewer seeds. JSON and one table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gradstab.regression.fitting import fit_surrogate
from gradstab.stability.estimator import Estimator
from gradstab.stability.phase_diagram import cloud, phase_diagram
from gradstab.stability.region import find_regions
from tests import problems
from tests.bench.region_arms import ARMS, Chosen, driven
from tests.problems import Problem

NOISE = 0.2  # of the band's unit: what networks of width 256 scatter by
COUNTS = (25, 50, 100, 200, 400)
JUDGED_COUNTS = (100, 400)  # where volume intervals and safe cores are looked at too
JUDGED_ARMS = ("Sobol", "boundary q=8")
ERROR = 0.02
ROUGH_TRIALS = 600
CERTIFIED = "certified"
LOG2_TRUTH = 13


@dataclass(frozen=True)
class Found:
    """What one run had found at a number of trials.

    Attributes:
        iou: of {p_region >= 1/2} with the truth.
        error: fraction of the space misclassified.
        covered: whether the 90 % interval of the volume holds the truth.
        core, core_wrong: volume of the safe core, and the fraction of it that lies outside the region.
    """

    problem: str
    arm: str
    seed: int
    trials: int
    iou: float
    error: float
    covered: bool | None = None
    core: float | None = None
    core_wrong: float | None = None
    certified: bool | None = None
    seconds: float = 0.0


def all_problems() -> dict[str, Problem]:
    named = [*problems.smooth_problems(), problems.trained_disc(), problems.rough()]
    return {problem.name: problem.noisy(NOISE) for problem in named}


def run(problem_name: str, arm: str, seed: int, counts: tuple[int, ...]) -> list[Found]:
    """One run, looked at after each number of trials (a grid is made for each)."""
    begin = time.process_time()
    problem = all_problems()[problem_name]
    if arm == CERTIFIED:
        chosen = driven(ERROR, problem, ROUGH_TRIALS if problem_name == "rough" else max(counts), seed)
        assert chosen.certificate is not None
        last = found_at(problem, arm, seed, chosen, len(chosen.unit_ND))
        found = [replace(last, certified=chosen.certificate.certified)]
    else:
        if arm == "grid":
            chosen_for = {count: ARMS[arm](problem, count, seed) for count in counts}
        else:
            chosen_for = dict.fromkeys(counts, ARMS[arm](problem, max(counts), seed))
        found = [found_at(problem, arm, seed, chosen_for[count], count) for count in counts]
    return [replace(one, seconds=time.process_time() - begin) for one in found]


def found_at(problem: Problem, arm: str, seed: int, chosen: Chosen, count: int) -> Found:
    truth_MD = problem.coordinates.sobol(LOG2_TRUTH, 777)
    truth_M = problem.inside(truth_MD)
    estimator = Estimator(
        problem.coordinates,
        [
            fit_surrogate(problem.coordinates, chosen.unit_ND[:count], chosen.responses[band.name][:count], band)
            for band in chosen.bands
        ],
    )
    inside_M = estimator.probabilities(truth_MD).p_region >= 0.5
    either = int((inside_M | truth_M).sum())
    iou = float((inside_M & truth_M).sum() / either) if either else 1.0
    looked_at: dict[str, Any] = {}
    if arm in JUDGED_ARMS and count in JUDGED_COUNTS:
        diagram = phase_diagram(estimator, cloud(problem.coordinates, seed=seed))
        regions = find_regions(estimator, diagram, seed=seed)
        core_truth_K = problem.inside(diagram.cells.unit_MD[regions.core_M])
        looked_at = {
            "covered": bool(regions.volume.low <= truth_M.mean() <= regions.volume.high),
            "core": regions.core_volume,
            "core_wrong": float(1 - core_truth_K.mean()) if len(core_truth_K) else 0.0,
        }
    return Found(problem.name, arm, seed, count, iou, float((inside_M != truth_M).mean()), **looked_at)


def table(found: list[Found], counts: tuple[int, ...]) -> str:
    """Mean IoU (worst) as Markdown."""
    lines = [
        f"| problem | trials chosen by | n | {' | '.join(map(str, counts))} |",
        "|---|---|---|" + "---|" * len(counts),
    ]
    for problem in dict.fromkeys(one.problem for one in found):
        for arm in ARMS:
            mine = [one for one in found if (one.problem, one.arm) == (problem, arm)]
            if not mine:
                continue
            ious = [[one.iou for one in mine if one.trials == count] for count in counts]
            cells = " | ".join(f"{statistics.mean(values):.3f} ({min(values):.3f})" for values in ious)
            lines.append(f"| {problem} | {arm} | {len(ious[0])} | {cells} |")
    return "\n".join(lines)


def claims(found: list[Found], counts: tuple[int, ...]) -> str:
    """What must be true, and what was found, as Markdown."""
    lines = ["| claim | found | n |", "|---|---|---|"]
    iou = {(one.problem, one.arm, one.seed, one.trials): one.iou for one in found}
    for problem in dict.fromkeys(one.problem for one in found):
        for arm, other in (
            ("boundary q=8", "Sobol"),
            ("boundary q=64", "Sobol"),
            ("boundary q=64", "boundary q=64, blind"),
        ):
            wins = []
            for count in counts:
                pairs = [
                    value - iou[problem, other, seed, trials]
                    for (name, of, seed, trials), value in iou.items()
                    if (name, of, trials) == (problem, arm, count) and (problem, other, seed, trials) in iou
                ]
                if pairs:
                    wins.append(
                        f"{count}: {sum(pair > 0 for pair in pairs)}/{len(pairs)} {statistics.mean(pairs):+.3f}"
                    )
            if wins:
                lines.append(f"| {problem}: {arm} beats {other}, paired seeds | {'; '.join(wins)} | |")
    for arm in JUDGED_ARMS:
        judged = [one for one in found if one.arm == arm and one.covered is not None and one.problem != "rough"]
        for count in JUDGED_COUNTS:
            some = [one for one in judged if one.trials == count]
            if some:
                share = 100 * sum(bool(one.covered) for one in some) / len(some)
                lines.append(
                    f"| 90 % volume intervals that cover, {arm}, {count} trials | {share:.0f} % | {len(some)} |"
                )
        cores = [one.core_wrong for one in judged if one.core_wrong is not None and (one.core or 0) > 0.01]
        if cores:
            worst, mean = 100 * max(cores), 100 * statistics.mean(cores)
            lines.append(
                f"| of the safe core outside the region, {arm} | worst {worst:.1f} %, mean {mean:.2f} % | {len(cores)} |"
            )
    stopped = [one for one in found if one.arm == CERTIFIED]
    smooth = [one for one in stopped if one.problem != "rough"]
    certified = [one for one in smooth if one.certified]
    if smooth:
        right = sum(one.error < ERROR for one in certified)
        trials = [one.trials for one in certified]
        spread = f", after {statistics.median(trials):.0f} ({min(trials)}-{max(trials)}) trials" if trials else ""
        lines.append(
            f"| smooth problems certified at {ERROR:.0%}{spread} | {len(certified)} of {len(smooth)} | {len(smooth)} |"
        )
        lines.append(
            f"| certified runs within {ERROR:.0%} of the truth | {right} of {len(certified)} | {len(certified)} |"
        )
    rough = [one for one in stopped if one.problem == "rough"]
    if rough:
        lines.append(
            f"| rough problem certified | {sum(bool(one.certified) for one in rough)} of {len(rough)} | {len(rough)} |"
        )
    return "\n".join(lines)


def gathered(
    asked: argparse.Namespace, jobs: Sequence[tuple[Any, ...]], run: Callable[..., list[Found]]
) -> list[Found]:
    """What the jobs find, on several processes and within the minutes asked for; kept in a file after each job.

    Args:
        asked: `add` (files of earlier runs), `minutes`, `json` (where it is kept) and `workers`.
    """
    found = [Found(**one) for path in asked.add for one in json.loads(path.read_text())]
    end = time.monotonic() + 60 * asked.minutes
    asked.json.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(asked.workers) as pool:
        waiting = [pool.submit(run, *job) for job in jobs]
        for done in as_completed(waiting):
            if done.cancelled():
                continue
            found += done.result()
            asked.json.write_text(json.dumps([asdict(one) for one in found], indent=1))
            if time.monotonic() > end:
                for job in waiting:
                    job.cancel()
    return found


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(prog="make bench-regions BENCH=...", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--most", type=int, default=max(COUNTS), help="most trials of a run")
    parser.add_argument("--problems", help="some, separated by commas (default all)")
    parser.add_argument("--arms", help=f"some of {'; '.join([*ARMS, CERTIFIED])}")
    parser.add_argument("--minutes", type=float, default=60, help="after which no more jobs are begun")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--add", type=Path, action="append", default=[], help="JSON of earlier runs, for the tables")
    parser.add_argument("--json", type=Path, default=Path("build/regions.json"))
    asked = parser.parse_args()
    counts = tuple(count for count in COUNTS if count <= asked.most)
    names = asked.problems.split(",") if asked.problems else list(all_problems())
    arms = asked.arms.split(";") if asked.arms else [*ARMS, CERTIFIED]
    jobs = [
        (name, arm, seed, counts)
        for seed in range(asked.first_seed, asked.first_seed + asked.seeds)
        for name in names
        for arm in arms
    ]
    found = gathered(asked, jobs, run)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    cpu = sum({(one.problem, one.arm, one.seed): one.seconds for one in found}.values())
    print(f"commit {commit.strip()}, noise {NOISE}, {len(jobs)} runs planned, {cpu / 60:.0f} CPU-minutes\n")
    print(table(found, counts), claims(found, counts), sep="\n\n")


if __name__ == "__main__":
    main()
