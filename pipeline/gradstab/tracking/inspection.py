"""What MLflow holds of a study, and its removal: for `gradstab doctor` and `gradstab remove`."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from mlflow.entities import Run, ViewType

from gradstab.errors import StorageError
from gradstab.record.differences import Shipped, ShippedRun
from gradstab.record.study_folder import StudyFolder
from gradstab.study.settings import Settings
from gradstab.system.storage_url import SqliteFile, Tracking
from gradstab.tracking.credentials import check_credentials
from gradstab.tracking.mlflow_client import UNREACHABLE, all_pages, open_client, prepare_environment
from gradstab.tracking.parent_content import TABLE_NAME
from gradstab.tracking.retry import short_reason
from gradstab.tracking.sqlite_trouble import require_readable

Result = TypeVar("Result")

_PAGE = 500


def open_mlflow_study(folder: StudyFolder, settings: Settings) -> MlflowStudy:
    """Connect to the study of a results folder in MLflow, with the variables of mlflow.env in the environment.

    Raises:
        UsageError: MLflow's server refuses our credentials.
        StorageError: MLflow cannot be reached.
    """
    os.environ.update(settings.mlflow_env)
    return MlflowStudy(settings.tracking.value, folder.study_id())


class MlflowStudy:
    """A study in MLflow, found by its id whatever the name of its experiment.

    Raises:
        UsageError: from the constructor, if MLflow's server refuses our credentials.
        StorageError: from every method, if MLflow cannot be reached or does not answer.
    """

    def __init__(self, tracking: Tracking, study_id: str) -> None:
        prepare_environment()
        check_credentials(tracking)
        require_readable(tracking)
        self._tracking, self._study_id = tracking, study_id
        # a client of a database that does not exist would make it
        missing = isinstance(tracking, SqliteFile) and not tracking.path.exists()
        self._client = None if missing else self._ask(lambda: open_client(tracking))

    def content(self) -> Shipped | None:
        """What MLflow has of the study; None if it does not know the study."""
        return self._ask(self._content)

    def delete_trials(self, run_ids: Iterable[str]) -> None:
        """Delete runs of trials, so that the shipper sends them again."""

        def delete() -> None:
            for run_id in run_ids:
                assert self._client is not None
                self._client.delete_run(run_id)

        self._ask(delete)

    def delete_other_experiments(self) -> None:
        """Keep the one of several experiments that the shipper fills, and delete the others, as MLflow's UI does.

        There are several where the user deleted the first in MLflow, ran the study again, and restored the first.
        """

        def delete() -> None:
            client = self._client
            for experiment_id, _ in sorted(self._experiments(), key=lambda found: int(found[0]))[1:]:
                assert client is not None
                client.delete_experiment(experiment_id)

        self._ask(delete)

    def describe(self) -> list[tuple[str, int]]:
        """Names of the study's experiments, and how many runs each holds."""
        return self._ask(lambda: [(name, sum(1 for _ in self._runs(id_))) for id_, name in self._experiments()])

    def delete(self) -> int:
        """Delete every run of the study, its own run last, then its experiments. Returns the number of runs."""

        def delete() -> int:
            client, count = self._client, 0
            for experiment_id, _ in self._experiments():
                assert client is not None
                for run in sorted(self._runs(experiment_id), key=lambda run: run.data.tags.get("kind") == "study"):
                    client.delete_run(run.info.run_id)
                    count += 1
                client.delete_experiment(experiment_id)
            return count

        return self._ask(delete)

    def _ask(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except UNREACHABLE as error:
            raise StorageError(
                f"MLflow at {self._tracking} cannot be used: {short_reason(error, self._tracking)}"
            ) from None

    def _content(self) -> Shipped | None:
        parents: list[Run] = []
        trials: dict[int, tuple[ShippedRun, ...]] = {}
        for experiment_id, _ in self._experiments():
            for run in self._runs(experiment_id):
                kind = run.data.tags.get("kind")
                if kind == "study":
                    parents.append(run)
                elif kind == "trial" and run.data.tags.get("trial", "").isdecimal():
                    ended = run.info.status in {"FINISHED", "FAILED"}
                    shown = ShippedRun(run.info.run_id, ended, run.data.metrics.get("margin"))
                    number = int(run.data.tags["trial"])
                    trials[number] = (*trials.get(number, ()), shown)
        if not parents:
            return None
        parent = min(parents, key=lambda run: (run.info.start_time, run.info.run_id))
        assert self._client is not None
        names = {Path(a.path).name for a in self._client.list_artifacts(parent.info.run_id, "segments")}
        statuses = tuple(run.info.status for run in parents)
        return Shipped(statuses, trials, frozenset(names), self._table(parent), len(self._experiments()))

    def _table(self, parent: Run) -> tuple[int, ...]:
        """Numbers of the trials in the table of the study's run."""
        assert self._client is not None
        if TABLE_NAME not in {artifact.path for artifact in self._client.list_artifacts(parent.info.run_id)}:
            return ()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(self._client.download_artifacts(parent.info.run_id, TABLE_NAME, folder))
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
                column = content["columns"].index("trial")
                return tuple(int(row[column]) for row in content["data"])
            except (ValueError, KeyError, TypeError, IndexError):
                return ()

    def _experiments(self) -> list[tuple[str, str]]:
        """Ids and names of the study's experiments."""
        client = self._client
        if client is None:
            return []
        which = f"tags.study_id = '{self._study_id}'"
        found = all_pages(
            lambda token: client.search_experiments(
                view_type=ViewType.ACTIVE_ONLY, filter_string=which, page_token=token
            )
        )
        return [(str(experiment.experiment_id), str(experiment.name)) for experiment in found]

    def _runs(self, experiment_id: str) -> Iterator[Run]:
        client = self._client
        assert client is not None
        return all_pages(lambda token: client.search_runs([experiment_id], max_results=_PAGE, page_token=token))
