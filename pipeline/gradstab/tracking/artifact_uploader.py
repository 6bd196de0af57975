"""Shipping what others put into the results folder: ``report/`` onto the study's run, ``heat_maps/`` onto trials'."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, Protocol

from gradstab.record.certificate import FILE_NAME as CERTIFICATE
from gradstab.record.certificate import read_certificate
from gradstab.tracking.mlflow_store import MlflowStore, RefusedError
from gradstab.tracking.pictures import report_pictures
from gradstab.tracking.trial_metrics import MetricRow
from gradstab.tracking.trial_note import MAPS_TAG, with_heat_maps

REPORT = "report"
REGION = "region.json"
HEAT_MAPS = "heat_maps"
LOOK_EVERY_S = 2.0
_TRIAL = re.compile(r"trial-(\d{6,})")


class FindRun(Protocol):
    """The run of a trial by number: made on demand, or None where it has none."""

    def __call__(self, number: int, *, make: bool) -> str | None: ...


class ArtifactUploader:
    """Ships each file once, and again when it changed."""

    def __init__(self, store: MlflowStore, experiment_id: str, parent_run_id: str, folder: Path) -> None:
        self._store = store
        self._experiment_id = experiment_id
        self._parent_run_id = parent_run_id
        self._folder = folder
        self._stamps: dict[str, tuple[int, int]] = {}
        self._mapped: set[int] | None = None
        self._looked = 0.0

    def has_report(self) -> bool:
        return (self._folder / REPORT / "index.html").exists()

    def shapes(self) -> dict[str, float]:
        """Height over width of the report's pictures that the study's run shows, by key."""
        return {key: picture.shape for key, picture in report_pictures(self._folder / REPORT).items()}

    def region(self) -> tuple[dict[str, Any] | None, bool]:
        """The region of the last report, if there is one, and whether it is certified."""
        certificate = read_certificate(self._folder)
        certified = certificate is not None and certificate.certified
        try:
            content: dict[str, Any] = json.loads((self._folder / REPORT / REGION).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None, certified
        return content, certified

    def ship(self, find_run: FindRun, *, last: bool) -> bool:
        """Ship whatever is new, and return whether there was a new report. Doing it again changes nothing."""
        if not last and time.monotonic() - self._looked < LOOK_EVERY_S:
            return False
        self._looked = time.monotonic()
        has_new = self._ship_report()
        self._ship_heat_maps(find_run)
        return has_new

    def _ship_report(self) -> bool:
        has_new = False
        folder = self._folder / REPORT
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.name.startswith(".") or not path.is_file():
                continue
            found = path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if self._stamps.get(path.name) == stamp:
                continue
            self._store.log_file(self._parent_run_id, path, REPORT)
            if path.name == REGION:
                self._ship_region(found.st_mtime_ns // 1_000_000)
                has_new = True
            self._stamps[path.name] = stamp
        return has_new

    def _ship_region(self, at_ms: int) -> None:
        """The region as metrics over the number of trials, and the report's pictures as images."""
        region, certified = self.region()
        assert region is not None
        self._store.log_progress(self._parent_run_id, region_rows(region, certified=certified), at_ms, {})
        if (self._folder / CERTIFICATE).exists():
            self._store.log_file(self._parent_run_id, self._folder / CERTIFICATE, None)
        for key, picture in report_pictures(self._folder / REPORT).items():
            self._store.log_image(self._parent_run_id, key, picture.path, fills=True)

    def _ship_heat_maps(self, find_run: FindRun) -> None:
        folder = self._folder / HEAT_MAPS
        trials = {int(m.group(1)): path for path in folder.glob("trial-*") if (m := _TRIAL.fullmatch(path.name))}
        if not trials:
            return
        if self._mapped is None:
            self._mapped = self._store.numbers(self._experiment_id, f"tags.{MAPS_TAG} = 'true'")
        for number in sorted(trials.keys() - self._mapped):
            run_id = find_run(number, make=True)
            try:
                if run_id is not None:
                    self._ship_trial(run_id, number, trials[number])
            except RefusedError:
                pass  # a person deleted the run: that is how they want it
            self._mapped.add(number)

    def _ship_trial(self, run_id: str, number: int, folder: Path) -> None:
        for path in sorted(folder.glob("*.png")):
            self._store.log_image(run_id, f"heat_map/{path.stem}", path)
        for path in sorted(folder.glob("*.npz")):
            self._store.log_file(run_id, path, "arrays")
        maps = sorted((path.stem for path in folder.glob("*.png")), key=lambda name: (name != "grad_norm", name))
        note = with_heat_maps(self._store.note(run_id), number, run_id, maps)
        self._store.tag_run(run_id, {"mlflow.note.content": note, MAPS_TAG: "true"})  # last: it says that all is there


def region_rows(region: dict[str, Any], *, certified: bool) -> list[MetricRow]:
    """Volume of the region with its interval, and whether it is certified, over the number of trials."""
    main = next(iter(region["regions"].values()))
    rows = {f"region/volume_{name}": float(value) for name, value in main["volume"].items()}
    rows["region/certified"] = float(certified)
    return [MetricRow(key, float(f"{value:.6g}"), int(region["num_trials"])) for key, value in rows.items()]
