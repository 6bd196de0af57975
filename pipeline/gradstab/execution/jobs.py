"""Studies as jobs of a Ray cluster, through its Jobs API: what is submitted once runs once."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import os
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradstab.errors import GradstabError
from gradstab.execution import job_entry
from gradstab.execution.cluster_address import enable_token_auth, require_reachable
from gradstab.system.retry import Retry

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_KNOCK_SECONDS = 10.0
_AGENT_SECONDS = 60.0  # a head that has just started takes jobs later than it answers
_POLL_SECONDS = 0.5
_LOWEST_RAY, _BEYOND_RAY = (2, 50), (3,)
_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")


class ClusterError(GradstabError):
    """The cluster cannot be reached, does not take us, or does not fit."""


class _NotReadyError(ClusterError):
    """The cluster answers, but cannot take jobs yet."""


@dataclass(frozen=True)
class Job:
    """One attempt at a study, as the cluster knows it.

    Attributes:
        exit_code: of the study's driver, once it ended and where it came that far.
        message: what the cluster says of it, in one line.
    """

    study: str
    attempt: int
    status: str
    ended: bool
    exit_code: int | None
    message: str

    @property
    def job_id(self) -> str:
        return job_id(self.study, self.attempt)


def job_id(study: str, attempt: int) -> str:
    """The submission id: the cluster takes each only once, so that no attempt runs twice."""
    return f"{study}-{attempt}"


def given_address(flag: str | None) -> str | None:
    """The address of the cluster's API: flag before RAY_API_SERVER_ADDRESS before RAY_ADDRESS."""
    return flag or next(filter(None, map(os.environ.get, _ADDRESS_VARIABLES)), None)


class ClusterJobs:
    """Jobs of the cluster at an address: its dashboard (http://HEAD:8265), or any address that Ray finds it by.

    Raises:
        ClusterError: on connecting, with one sentence on what is not there or does not fit.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        if address.startswith(("http://", "https://")):
            _require_server(address.rstrip("/"))
        elif "://" in address:
            raise ClusterError(f"the address of a cluster's jobs must be http://HEAD:8265, got {address!r}")
        else:
            with self._said():
                require_reachable(address)
            enable_token_auth()
        self._client = self._connected()

    def _connected(self) -> JobSubmissionClient:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        with self._said():
            from ray.job_submission import JobSubmissionClient

            logging.getLogger("ray.dashboard").setLevel(logging.WARNING)
            for name in ("ray.dashboard.modules.dashboard_sdk", "ray._private.runtime_env.packaging", _SDK):
                logging.getLogger(name).setLevel(logging.WARNING)  # uploads are no news to a person
            # Ray lets the environment overrule what it is given; here a flag comes first
            kept = {name: os.environ.pop(name) for name in _ADDRESS_VARIABLES if name in os.environ}
            try:
                return JobSubmissionClient(self._address)
            finally:
                os.environ.update(kept)

    def page(self, job: Job) -> str:
        """The job in Ray's dashboard, as a link."""
        return f"{self._client.get_address().rstrip('/')}/#/jobs/{job.job_id}"

    def latest(self, study: str) -> Job | None:
        """The last attempt at a study, or None if there was none."""
        with self._said():
            details = self._client.list_jobs()
        jobs = [job for found in details if (job := _job(found)) is not None and job.study == study]
        return max(jobs, key=lambda job: job.attempt, default=None)

    def submit(
        self,
        job: Job,
        arguments: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        python: str,
    ) -> None:
        """Start `gradstab ARGUMENTS` on the head in a copy of `folder`; this package travels with it.

        Submitting an attempt that the cluster has already does nothing.
        """
        package = Path(__file__).parent.parent
        entry = shlex.join([python, Path(job_entry.__file__).name, *arguments])
        runtime_env = {
            "working_dir": str(folder),
            "py_modules": [str(package)],
            "excludes": ["__pycache__"],
            "env_vars": dict(environment),
        }

        def submit_once() -> None:
            try:
                with self._said():
                    self._client.submit_job(
                        entrypoint=f"exec {entry}",
                        submission_id=job.job_id,
                        runtime_env=runtime_env,
                        metadata={"gradstab.study": job.study, "gradstab.attempt": str(job.attempt)},
                    )
            except ClusterError as error:
                if "No available agent" in str(error):
                    raise _NotReadyError(str(error)) from None
                if "already exists" not in str(error):  # else another submit came first
                    raise

        Retry(_NotReadyError, lambda began: began + _AGENT_SECONDS, (_POLL_SECONDS, _POLL_SECONDS))(submit_once)

    def follow(self, job: Job, show: Callable[[str], None]) -> Job:
        """Pass the job's log on as it grows, and return the job once it ended."""
        shown = 0
        while not (found := self._known(job)).ended:
            shown = asyncio.run(self._tail(job.job_id, shown, show))
            time.sleep(_POLL_SECONDS)
        with self._said():
            show(self._client.get_job_logs(job.job_id)[shown:])
        return found

    def stop(self, job: Job, patience: float) -> Job:
        """Ask the job to drain and stop; returns it as it is when it ended, or after `patience` seconds."""
        with self._said():
            self._client.stop_job(job.job_id)
        deadline = time.monotonic() + patience
        while not (found := self._known(job)).ended and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return found

    def _known(self, job: Job) -> Job:
        with self._said():
            found = _job(self._client.get_job_info(job.job_id))
        if found is None:
            raise ClusterError(f"the job {job.job_id!r} must be one of gradstab's, but another program submitted it")
        return found

    async def _tail(self, known_id: str, shown: int, show: Callable[[str], None]) -> int:
        """Pass on what comes after the first `shown` characters until the stream ends; how many there are then.

        A stream that breaks is no error: the caller looks at the job, and opens it again while it runs.
        """
        seen = 0
        try:
            async for piece in self._client.tail_job_logs(known_id):
                if seen + len(piece) > shown:
                    show(piece[max(0, shown - seen) :])
                seen += len(piece)
        except (OSError, RuntimeError):
            pass
        return max(seen, shown)

    @contextmanager
    def _said(self) -> Iterator[None]:
        """Whatever Ray or HTTP raise becomes one sentence about this cluster."""
        try:
            yield
        except (GradstabError, KeyboardInterrupt):
            raise
        except (
            Exception
        ) as error:  # Ray raises RuntimeError, ValueError, its own errors and those of two HTTP libraries
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            # a refused request brings the server's traceback along, whose last line says what it was
            told = next((line for line in reversed(lines) if len(line) > 3), type(error).__name__)
            reason = lines[0].partition(" Note: ")[0] if lines and "Traceback" not in lines[0] else told
            raise ClusterError(
                f"the Ray cluster at {self._address} must take and tell of jobs, but: {reason.rstrip('.')}"
            ) from None


_SDK = "ray.dashboard.modules.job.sdk"


def _job(details: Any) -> Job | None:
    """What the cluster knows of a job of ours; None for another program's."""
    metadata = details.metadata or {}
    if details.submission_id is None or "gradstab.study" not in metadata:
        return None
    message = next(iter((details.message or "").strip().splitlines()), "")
    return Job(
        metadata["gradstab.study"],
        int(metadata["gradstab.attempt"]),
        str(details.status.value).lower(),
        details.status.is_terminal(),
        details.driver_exit_code,
        message,
    )


def _require_server(url: str) -> None:
    """Make sure that a Ray dashboard of a fitting version answers there and takes our token, before Ray is imported.

    A cluster that asks for a token gets ours, unless RAY_AUTH_MODE says otherwise; no other cluster is shown it.
    """
    try:
        with urllib.request.urlopen(f"{url}/api/version", timeout=_KNOCK_SECONDS) as answer:
            found = json.load(answer)["ray_version"]
    except urllib.error.HTTPError as error:
        error.close()
        if error.code not in (401, 403):
            raise ClusterError(
                f"a Ray dashboard must answer at {url}, but what is there says {error.code}: check host and port"
            ) from None
        _require_token(url)
        return
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        reason = getattr(error, "reason", error) if isinstance(error, OSError) else "something else answers there"
        raise ClusterError(
            f"a Ray dashboard must answer at {url}, but: {reason}. Start the cluster with its dashboard "
            "(ray start --head, of ray[default]), or correct the address"
        ) from None
    if not _LOWEST_RAY <= tuple(int(part) for part in found.split(".")[:2]) < _BEYOND_RAY:
        raise ClusterError(f"the cluster at {url} must run Ray 2.50 or newer, below 3, got {found}")


def _require_token(url: str) -> None:
    if not enable_token_auth():
        raise ClusterError(
            f"the cluster at {url} must be shown its token, but there is none here: set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH, a file)"
        )
