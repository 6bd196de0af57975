"""Studies as jobs of a Ray cluster, through its Jobs API: each attempt that is submitted runs once."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradstab.errors import GradstabError
from gradstab.execution import job_entry
from gradstab.execution.cluster_address import enable_token_auth, require_reachable
from gradstab.execution.dashboard import ClusterError, require_dashboard
from gradstab.system.proxies import without_pages
from gradstab.system.retry import Retry

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_AGENT_SECONDS = 60.0  # a head that has just started answers before it can accept jobs
_POLL_SECONDS = 0.5
_ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
_LOGGERS_OF_UPLOADS = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)


# lines of Ray's loggers, in Python and C++, and of the libraries below them begin with a time; its job manager adds one
_LINE_OF_RAY = (
    r"\[?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|[IWEF]\d{4} \d\d:\d\d|WARNING: All log messages before absl|"
    "Running entrypoint for job "
)
_PREFACE = re.compile(rf"(?:(?:{_LINE_OF_RAY})[^\n]*\n|\s*\n)*")


class _NotReadyError(ClusterError):
    """The cluster answers, but cannot take jobs yet."""


@dataclass(frozen=True)
class Job:
    """One attempt at a study, as the cluster knows it.

    Attributes:
        status: Ray's word for it, in small letters.
        ended: whether it has ended, in whatever way.
        exit_code: of the study's driver; None while it runs, and where it did not start.
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
    """The submission id. A cluster accepts an id only once, so that no attempt runs twice."""
    return f"{study}-{attempt}"


def given_address(flag: str | None) -> str | None:
    """The address of the cluster's API: the flag, else RAY_API_SERVER_ADDRESS, else RAY_ADDRESS."""
    return flag or next(filter(None, map(os.environ.get, _ADDRESS_VARIABLES)), None)


class AfterRay:
    """Passes on a log that comes in pieces, from the first line that is not Ray's own."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._held = ""
        self._begun = False

    def __call__(self, text: str) -> None:
        """Take the next piece."""
        self._held += text
        if not self._begun:
            preface = _PREFACE.match(self._held)
            begin = preface.end() if preface else 0
            if "\n" not in self._held[begin:]:  # whose line it is shows when it is whole
                return
            self._held, self._begun = self._held[begin:], True
        self.end()

    def end(self) -> None:
        """Show what was held back: if nothing but Ray's lines came, they say why the study did not begin."""
        self._show(self._held)
        self._held = ""


class ClusterJobs:
    """Jobs of the cluster at an address: its dashboard (http://HEAD:8265), or any address by which Ray finds it.

    Raises:
        ClusterError: from every method, in one sentence: the cluster cannot be reached, refuses the request, or runs a
            Ray that does not fit.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        if address.startswith(("http://", "https://")):
            require_dashboard(address.rstrip("/"))
        elif "://" in address:
            raise ClusterError(f"the address of a cluster's Jobs API must look like http://HEAD:8265, got {address!r}")
        else:
            with self._one_sentence_errors():
                require_reachable(address)
            enable_token_auth()
        self._client = self._connect()

    def _connect(self) -> JobSubmissionClient:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        with self._one_sentence_errors():
            from ray.job_submission import JobSubmissionClient

            for name in ("ray.dashboard", *_LOGGERS_OF_UPLOADS):
                logging.getLogger(name).setLevel(logging.WARNING)
            # Ray prefers these variables to the address it is given; here the flag comes first
            hidden = {name: os.environ.pop(name) for name in _ADDRESS_VARIABLES if name in os.environ}
            try:
                return JobSubmissionClient(self._address)
            finally:
                os.environ.update(hidden)

    def page(self, job: Job) -> str:
        """The job's page in Ray's dashboard, as a link."""
        return f"{self._client.get_address().rstrip('/')}/#/jobs/{job.job_id}"

    def latest(self, study: str) -> Job | None:
        """The last attempt at a study, or None if there was none."""
        with self._one_sentence_errors():
            details = self._client.list_jobs()
        jobs = [job for entry in details if (job := _job_of(entry)) is not None and job.study == study]
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
        """Start `gradstab ARGUMENTS` on the head in a copy of `folder`, together with a copy of this package.

        An attempt that the cluster knows already is not started again.
        """
        package = Path(__file__).parent.parent
        command = shlex.join([python, Path(job_entry.__file__).name, *arguments])
        runtime_env = {
            "working_dir": str(folder),
            "py_modules": [str(package)],
            "excludes": ["__pycache__"],
            "env_vars": dict(environment),
        }

        def submit_once() -> None:
            try:
                with self._one_sentence_errors():
                    self._client.submit_job(
                        entrypoint=f"exec {command}",
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
        """Pass the job's log to `show` as it grows; returns the job once it has ended.

        What Ray wrote before the first line of the study is left out, unless the study wrote nothing.
        """
        num_shown, show_own = 0, AfterRay(show)
        while not (current := self._current(job)).ended:
            num_shown = asyncio.run(self._show_log(job.job_id, num_shown, show_own))
            time.sleep(_POLL_SECONDS)
        with self._one_sentence_errors():
            show_own(self._client.get_job_logs(job.job_id)[num_shown:])
        show_own.end()
        return current

    def stop(self, job: Job, patience: float) -> Job:
        """Ask the job to drain and stop; returns it once it has ended, or as it is after `patience` seconds."""
        with self._one_sentence_errors():
            self._client.stop_job(job.job_id)
        deadline = time.monotonic() + patience
        while not (current := self._current(job)).ended and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return current

    def _current(self, job: Job) -> Job:
        """The job as the cluster knows it now."""
        with self._one_sentence_errors():
            current = _job_of(self._client.get_job_info(job.job_id))
        if current is None:
            raise ClusterError(f"the job {job.job_id!r} was submitted by another program: it is not one of gradstab's")
        return current

    async def _show_log(self, submission_id: str, num_shown: int, show: Callable[[str], None]) -> int:
        """Pass on the log after its first `num_shown` characters until the stream ends; how many are shown then.

        A stream that breaks is no error: the caller looks at the job, and opens the stream again while it runs.
        """
        num_read = 0
        try:
            async for piece in self._client.tail_job_logs(submission_id):
                if num_read + len(piece) > num_shown:
                    show(piece[max(0, num_shown - num_read) :])
                num_read += len(piece)
        except (OSError, RuntimeError):
            pass
        return max(num_read, num_shown)

    @contextmanager
    def _one_sentence_errors(self) -> Iterator[None]:
        """Turn whatever Ray and its HTTP libraries raise into a ClusterError of one sentence."""
        try:
            yield
        except (GradstabError, KeyboardInterrupt):
            raise
        except Exception as error:  # RuntimeError, ValueError, Ray's own errors and those of two HTTP libraries
            lines = [line.strip() for line in without_pages(str(error)).splitlines() if line.strip()]
            # a refused request brings the server's traceback along, whose last line names the error
            last = next((line for line in reversed(lines) if len(line) > 3), type(error).__name__)
            reason = lines[0].partition(" Note: ")[0] if lines and "Traceback" not in lines[0] else last
            raise ClusterError(f"the Ray Jobs API at {self._address} failed: {reason.rstrip('.')}") from None


def _job_of(details: Any) -> Job | None:
    """The job that Ray's details describe; None where another program submitted it."""
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
