"""What MLflow holds of a study, and its removal: for `doctor` and `remove`, which a person waits for."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import requests
import sqlalchemy.exc
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from gradstab.errors import StorageError
from gradstab.record.differences import Shipped, ShippedRun
from gradstab.system.storage_url import storage_file, without_password
from gradstab.tracking.credentials import check_credentials
from gradstab.tracking.mlflow_store import prepare_environment
from gradstab.tracking.parent_content import TABLE_NAME
from gradstab.tracking.retry import sentence

Result = TypeVar("Result")

_UNREACHABLE = (MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError, OSError)


class MlflowStudy:
    """A study in MLflow, found by its id whatever its experiment is called.

    Raises:
        UsageError: on making it: MLflow's server refuses our credentials.
        StorageError: from every method: MLflow cannot be reached, or will not answer.
    """

    def __init__(self, uri: str, study_id: str) -> None:
        prepare_environment()
        check_credentials(uri)
        self._uri, self._study_id = uri, study_id
        # a client that is made for a database which is not there would make it
        path = storage_file(uri)
        self._client = None if path is not None and not path.exists() else self._asked(self._connected)

    def held(self) -> Shipped | None:
        """What MLflow has; None where it knows no such study."""
        return self._asked(self._held)

    def delete_trials(self, run_ids: Iterable[str]) -> None:
        """Delete runs of trials, so that they are sent again."""

        def delete() -> None:
            for run_id in run_ids:
                assert self._client is not None
                self._client.delete_run(run_id)

        self._asked(delete)

    def describe(self) -> list[tuple[str, int]]:
        """Names of the study's experiments and how many runs each holds."""
        return self._asked(lambda: [(name, sum(1 for _ in self._runs(id_))) for id_, name in self._experiments()])

    def delete(self) -> int:
        """Delete every run of the study, the study's own last, then its experiments; how many runs went."""

        def delete() -> int:
            client, count = self._client, 0
            for experiment_id, _ in self._experiments():
                assert client is not None
                for run in sorted(self._runs(experiment_id), key=lambda run: run.data.tags.get("kind") == "study"):
                    client.delete_run(run.info.run_id)
                    count += 1
                client.delete_experiment(experiment_id)
            return count

        return self._asked(delete)

    def _connected(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def _asked(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except _UNREACHABLE as error:
            raise StorageError(
                f"MLflow must be reachable at {without_password(self._uri)}, but: {sentence(error)}"
            ) from None

    def _held(self) -> Shipped | None:
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
        return Shipped(statuses, trials, frozenset(names), self._table(parent))

    def _table(self, parent: Run) -> tuple[int, ...]:
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
        if self._client is None:
            return []
        found = self._client.search_experiments(
            view_type=ViewType.ACTIVE_ONLY, filter_string=f"tags.study_id = '{self._study_id}'"
        )
        return [(str(experiment.experiment_id), str(experiment.name)) for experiment in found]

    def _runs(self, experiment_id: str) -> Iterator[Run]:
        assert self._client is not None
        token: str | None = None
        while True:
            page = self._client.search_runs([experiment_id], max_results=500, page_token=token)
            yield from page
            token = page.token
            if not token:
                return
