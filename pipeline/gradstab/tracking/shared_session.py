"""Several calls to MLflow's store of a database in one session and one transaction.

For each call, and for each part of it, the store opens a session, sets three PRAGMAs and commits: six sessions a trial,
a quarter of its CPU. Within `SharedSession.transaction` they are one. The store commits by itself after the metrics of
a run, so a run whose metrics are there may still lack its end: the shipper expects that of a death at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy.exc
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE


class SharedSession:
    """The session that calls share; outside a transaction the store behaves as ever.

    Args:
        client: of a store in a database.
        passing: an error that ends a transaction and must reach the caller as it is.
    """

    def __init__(self, client: MlflowClient, passing: type[Exception]) -> None:
        self._passing = passing
        self._session: Any = None
        self._experiments: dict[str, Experiment] = {}
        store: Any = client._tracking_client.store
        self._open: Callable[..., AbstractContextManager[Any]] = store.ManagedSessionMaker
        self._look_up: Callable[[str], Experiment] = store.get_experiment
        store.ManagedSessionMaker = self._joined
        store.get_experiment = self._experiment

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Calls within share a session, which is rolled back where one of them fails."""
        passed = None
        with self._open(read_only=False) as session:
            self._session = session
            try:
                yield
            except self._passing as error:  # the store would turn it into an error of its own
                session.rollback()
                passed = error
            except BaseException:
                self.forget_experiments()
                raise
            finally:
                self._session = None
        if passed is not None:
            self.forget_experiments()
            raise passed

    def forget_experiments(self) -> None:
        """Look experiments up again: the user may have deleted one."""
        self._experiments.clear()

    @contextmanager
    def _joined(self, read_only: bool = True) -> Iterator[Any]:
        """The store's own way to open a session, or the session that is open."""
        if self._session is None:
            with self._open(read_only=read_only) as session:
                yield session
            return
        try:
            yield self._session
            self._session.flush()
        except sqlalchemy.exc.OperationalError as error:  # as the store does it: the caller tries again
            raise MlflowException(str(error), TEMPORARILY_UNAVAILABLE) from error

    def _experiment(self, experiment_id: str) -> Experiment:
        """Each run that is created asks for its experiment with all its tags; within transactions one answer serves."""
        if self._session is None:
            return self._look_up(experiment_id)
        if experiment_id not in self._experiments:
            self._experiments[experiment_id] = self._look_up(experiment_id)
        return self._experiments[experiment_id]
