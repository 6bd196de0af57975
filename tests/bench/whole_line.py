"""The whole line: `gradstab run` and the peer, each from the start of its process until MLflow has the last trial."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gradstab.record.segments import Record, read_segment, segment_paths
from gradstab.study.study import Study
from tests.bench.children import Finished, run_child, stored, with_database
from tests.bench.goals import SECOND_SHARE, STARTUP_SECONDS, WHOLE_LINE
from tests.bench.measure import Goal, Row
from tests.bench.same_modules import check_peer_of_modules
from tests.bench.same_networks import check_peer
from tests.bench.sizes import Sizes
from tests.bench.studies import OF_MODULES, SECOND, STUDY_T, changed, write_study

SECTION = "whole line"


@dataclass(frozen=True)
class PeerVariant:
    """How the peer is run: with MLflow or without, with warm actors or as people write it."""

    name: str
    mlflow: bool = True
    reuse_actors: bool = False


AS_WRITTEN = PeerVariant("peer, as people write it")
VARIANTS = (
    AS_WRITTEN,
    PeerVariant("peer, reuse_actors", reuse_actors=True),
    PeerVariant("peer, no MLflow", mlflow=False),
    PeerVariant("peer, no MLflow, reuse_actors", mlflow=False, reuse_actors=True),
)


@dataclass(frozen=True)
class PeerRun:
    """Trials a second from the start of Tune's loop on (its start-up is not charged), and metric rows a trial."""

    rate: float
    rows: float


@dataclass(frozen=True)
class OurRun:
    """One `gradstab run`.

    Attributes:
        rate: trials a second from process start until the process ended with everything in MLflow.
        rate_from_first: the same from the first trial in training.
        startup: seconds from process start to the first trial in training.
    """

    rate: float
    rate_from_first: float
    startup: float
    rows: float


class Place:
    """Folders of runs below one root, with an empty database to copy and caches that runs share."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._runs = 0
        self.caches = root

    def new_folder(self) -> Path:
        """The path of a new folder with nothing in it."""
        self._runs += 1
        return self._root / f"run{self._runs}"

    @cached_property
    def _empty_database(self) -> Path:
        """An MLflow database without runs: its migrations take seconds, in both programs alike, and are left out."""
        from mlflow import MlflowClient

        path = self._root / "empty.db"
        MlflowClient(tracking_uri=f"sqlite:///{path}", registry_uri=f"sqlite:///{path}").search_experiments()
        return path

    def new(self) -> tuple[Path, str]:
        """A new folder, and the URI of the empty MLflow database in it."""
        folder = self.new_folder()
        return folder, with_database(folder, self._empty_database)


def run_peer(place: Place, study: Study, trials: int, variant: PeerVariant) -> PeerRun:
    """Run the peer in a process of its own and check that it trained the study's networks."""
    folder, uri = place.new()
    out = folder / "peer.json"
    arguments = ["tests.bench.peer", "--study", study.name, "--width", str(study.recipe.width)]
    arguments += ["--trials", str(trials), "--out", str(out)]
    arguments += ["--uri", uri] if variant.mlflow else []
    arguments += ["--reuse-actors"] if variant.reuse_actors else []
    run_child(arguments, folder, place.caches)
    found = json.loads(out.read_text())
    (check_peer_of_modules if study.name in OF_MODULES else check_peer)(study, found["trials"])
    runs, rows = stored(uri)
    assert len(found["trials"]) == trials
    assert runs == (trials if variant.mlflow else 0), "MLflow must hold every trial of the peer"
    return PeerRun(trials / found["seconds"], rows / trials)


def run_ours(place: Place, study: Study, trials: int, *, engine: str = "ray", detail: str = "summary") -> OurRun:
    """`gradstab run` on all cores with the default storage, and MLflow on SQLite as the peer has it."""
    folder, uri = place.new()
    file = write_study(study, folder / "study.yaml", budget={"trials": trials}, tracking={"detail": detail})
    results = folder / study.name
    arguments = ["gradstab", "run", str(file), "--engine", engine, "--results", str(folder)]
    arguments.append("--no-report")  # the peer writes none
    finished = run_child(arguments, folder, place.caches)
    records = [record for path in segment_paths(results) for record in read_segment(path)]
    runs, rows = stored(uri)
    assert len(records) == trials
    assert all(record.failure is None for record in records)
    assert runs == trials + 1, "MLflow must hold every trial, and the study's own run"
    return _our_run(finished, records, rows)


def _our_run(finished: Finished, records: list[Record], rows: int) -> OurRun:
    first = min(record.started_ms for record in records) / 1000
    return OurRun(
        rate=len(records) / finished.seconds,
        rate_from_first=len(records) / (finished.end - first),
        startup=first - finished.begin,
        rows=rows / len(records),
    )


def whole_line(place: Place, sizes: Sizes) -> list[Row]:
    """Study T: the peer as people write it, and ours with few trials and with many, in turn."""
    peers: list[PeerRun] = []
    ours: dict[int, list[OurRun]] = {trials: [] for trials in sizes.ours_trials}
    for _ in range(sizes.rounds):
        peers.append(run_peer(place, STUDY_T, sizes.peer_trials, AS_WRITTEN))
        for trials, runs in ours.items():
            runs.append(run_ours(place, STUDY_T, trials))
    peer = peer_row(AS_WRITTEN.name, peers, sizes.peer_trials)
    rows = [peer]
    for trials, runs in ours.items():
        rows += our_rows(f"gradstab run, {trials} trials", runs, trials, peer, WHOLE_LINE.get(trials))
    return rows


def peers(place: Place, sizes: Sizes) -> list[Row]:
    """The peer with warm actors and without MLflow, and ours with every row that MLflow can have."""
    rows = []
    for variant in VARIANTS:
        runs = [run_peer(place, STUDY_T, sizes.variant_trials, variant) for _ in range(sizes.other_rounds)]
        rows.append(peer_row(variant.name, runs, sizes.variant_trials))
    full = [run_ours(place, STUDY_T, sizes.full_trials, detail="full") for _ in range(sizes.other_rounds)]
    return [*rows, *our_rows("gradstab run, detail full", full, sizes.full_trials, rows[0], None)]


def second_study(place: Place, sizes: Sizes) -> list[Row]:
    """Is what study T shows true of other networks? The ratio of a study that no code knows of, by T's."""
    peers_of: dict[str, list[PeerRun]] = {study.name: [] for study in (STUDY_T, SECOND)}
    ours_of: dict[str, list[OurRun]] = {study.name: [] for study in (STUDY_T, SECOND)}
    for _ in range(sizes.other_rounds):
        for study in (STUDY_T, SECOND):
            peers_of[study.name].append(run_peer(place, study, sizes.peer_second_trials, AS_WRITTEN))
            ours_of[study.name].append(run_ours(place, study, sizes.second_trials))
    rows, ratios = [], {}
    for name, runs in peers_of.items():
        peer = peer_row(f"{name}: peer, as people write it", runs, sizes.peer_second_trials)
        ours = our_rows(f"{name}: gradstab run", ours_of[name], sizes.second_trials, peer, None)
        ratios[name] = ours[0].ratios
        rows += [peer, *ours]
    shares = tuple(b / a for a, b in zip(ratios[STUDY_T.name], ratios[SECOND.name], strict=True))
    return [*rows, Row(SECTION, "second study's ratio by T's", "", shares, goal=SECOND_SHARE)]


def peer_row(name: str, runs: list[PeerRun], trials: int, section: str = SECTION) -> Row:
    """What runs of the peer show."""
    note = f"{trials} trials a run, {runs[0].rows:.0f} metric rows a trial, clock from Tune's loop"
    return Row(section, name, "trials/s", tuple(run.rate for run in runs), note=note)


def our_rows(
    name: str, runs: list[OurRun], trials: int, peer: Row, goal: Goal | None, section: str = SECTION
) -> list[Row]:
    """What runs of gradstab show, each from process start and from the first trial."""
    note = f"{trials} trials a run, {runs[0].rows:.0f} metric rows a trial"
    whole = Row(section, f"{name}, from process start", "trials/s", tuple(run.rate for run in runs), note=note)
    first = Row(section, f"{name}, from first trial", "trials/s", tuple(run.rate_from_first for run in runs), note=note)
    return [whole.to(peer, goal), first.to(peer)]


def startup(place: Place, sizes: Sizes) -> list[Row]:
    """`gradstab run` from the start of its process to the first trial in training."""
    seconds: dict[str, list[float]] = {"ray": [], "serial": []}
    for _ in range(sizes.rounds):
        for engine, found in seconds.items():
            found.append(run_ours(place, STUDY_T, 8, engine=engine).startup)
    return [
        Row("start-up", f"gradstab run, {engine}, to the first trial", "s", tuple(found), goal=STARTUP_SECONDS[engine])
        for engine, found in seconds.items()
    ]


def peer_widths(place: Place, sizes: Sizes) -> list[Row]:
    """The peer at other widths, per core: for the plot."""
    rows = []
    for width in sizes.peer_widths:
        run = run_peer(place, changed(STUDY_T, width=width), sizes.peer_second_trials, AS_WRITTEN)
        rows.append(Row("width", f"peer, width {width}", "trials/s a core", (run.rate / (os.cpu_count() or 1),)))
    return rows


Section = Callable[[Place, Sizes], list[Row]]
