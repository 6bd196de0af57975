"""Where a soak plays: raylets, a PostgreSQL server, an MLflow server, a study, and its driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import IO

import optuna
import psutil
from mlflow import MlflowClient

from tests.cluster.raylets import Raylets
from tests.endtoend.command import Place
from tests.search.storages import Server, plain_storage
from tests.tracking.lossy_proxy import free_port

STUDY = """
name: study
question: Does every trial arrive exactly once?
space:
  depth: {type: log_integer, low: 2, high: 8}
  init_scale: {type: log_real, low: 0.5, high: 4}
recipe: {width: 32, steps: 200, batch_size: 32, probe_samples: 64}
budget: {trials: 1000000}
resources: {pack_seconds: 15}
"""


class Stage:
    """Everything a study stands on; `root` is a folder of its own."""

    def __init__(self, root: Path, cluster: Raylets, postgresql: Server) -> None:
        self.place = Place(root)
        (root / "study.yaml").write_text(STUDY)
        (root / "results" / "mlflow").mkdir(parents=True)
        self.cluster = cluster
        self.postgresql = postgresql
        self._log: IO[str] = (root / "mlflow.log").open("w")
        self._port = free_port()
        self.mlflow: subprocess.Popen[str]
        self.start_mlflow()
        self.driver: subprocess.Popen[str] | None = None

    @property
    def mlflow_uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start_mlflow(self) -> None:
        root = self.place.root / "results" / "mlflow"
        options = ["--workers", "1", "--host", "127.0.0.1", "--port", str(self._port)]
        stores = ["--backend-store-uri", f"sqlite:///{root / 'mlflow.db'}", "--artifacts-destination", str(root / "a")]
        self.mlflow = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *options, *stores],
            stdout=self._log,
            stderr=self._log,
            text=True,
            start_new_session=True,
            env={**self.place.environment(), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )

    def await_mlflow(self, seconds: float = 120.0) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with (
                suppress(OSError, urllib.error.URLError),
                urllib.request.urlopen(f"{self.mlflow_uri}/health", timeout=5),
            ):
                return
            time.sleep(0.5)
        raise TimeoutError("the MLflow server must answer, but it does not: see mlflow.log")

    def signal_mlflow(self, number: int) -> None:
        os.killpg(self.mlflow.pid, number)

    def start_driver(self, trials: int) -> None:
        self.driver = self.place.start(
            "run", "study", "--no-report", "--trials", str(trials), "--address", self.cluster.address, **self.settings()
        )

    def settings(self) -> dict[str, str]:
        return {
            "OPTUNA_STORAGE": self.postgresql.url,
            "MLFLOW_TRACKING_URI": self.mlflow_uri,
            "GRADSTAB_DRAIN_SECONDS": "15",
        }

    def family(self) -> list[psutil.Process]:
        """The driver's children: the shipper among them."""
        assert self.driver is not None
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.driver.pid).children(recursive=True)
        return []

    def optuna_trials(self) -> list[optuna.trial.FrozenTrial]:
        with plain_storage(self.postgresql.url) as storage:
            return optuna.load_study(study_name="study", storage=storage).trials

    def shipped(self) -> list[int]:
        """Numbers of the child runs that are FINISHED, each as often as it is there."""
        client = MlflowClient(tracking_uri=self.mlflow_uri, registry_uri=self.mlflow_uri)
        experiment = client.get_experiment_by_name("study")
        if experiment is None:
            return []
        found: list[int] = []
        token: str | None = None
        while True:
            page = client.search_runs(
                [experiment.experiment_id], "tags.kind = 'trial'", max_results=1000, page_token=token
            )
            found += [int(run.data.tags["trial"]) for run in page if run.info.status == "FINISHED"]
            token = page.token
            if not token:
                return found

    def close(self) -> None:
        if self.driver is not None and self.driver.poll() is None:
            self.driver.kill()
            self.driver.communicate()
        with suppress(ProcessLookupError):
            self.signal_mlflow(signal.SIGKILL)
        self.mlflow.wait()
        self._log.close()
