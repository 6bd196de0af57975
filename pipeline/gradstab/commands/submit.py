"""`gradstab submit`: runs a study as a job of a Ray cluster; its file, data beside it and settings travel along."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from gradstab.commands.draining import drain_seconds
from gradstab.commands.options import announce, name_option, seed_option, set_option, study_argument, trials_option
from gradstab.errors import EXIT_FAILED, EXIT_INTERRUPTED, UsageError
from gradstab.execution import job_entry
from gradstab.study.data_spec import file_of
from gradstab.study.settings import Settings
from gradstab.study.study import Study
from gradstab.system.proxies import LOOPBACK
from gradstab.system.storage_url import without_password
from gradstab.user_code.sources import collect_sources

if TYPE_CHECKING:
    from gradstab.execution.jobs import ClusterJobs, Job

_STOP_MARGIN = 20.0  # seconds for records and shipper after the trials in flight

_TRAVELLING = ("OPTUNA_STORAGE", "GRADSTAB_DRAIN_SECONDS")
_SECRET_WORDS = ("PASSWORD", "TOKEN", "SECRET", "USERNAME", "KEY")


@click.command()
@study_argument
@click.option("--address", help="The cluster: http://HEAD:8265. Default: RAY_API_SERVER_ADDRESS, else RAY_ADDRESS.")
@click.option("--follow", is_flag=True, help="Show the job's log until it ends, then exit with the code of the study.")
@click.option("--stop", is_flag=True, help="Stop the job. Trials in flight that end soon finish.")
@trials_option
@set_option
@seed_option
@name_option
@click.option("--results", metavar="DIR", help="Folder of all results, on the cluster. Default: as set there.")
@click.option("--python", default="python", show_default=True, help="Python interpreter on the cluster's head.")
def submit(
    study: str,
    address: str | None,
    follow: bool,
    stop: bool,
    trials: int | None,
    overrides: tuple[str, ...],
    seed: int | None,
    name: str | None,
    results: str | None,
    python: str,
) -> None:
    """Run STUDY as a job of a Ray cluster.

    You can switch off this machine while the job runs.

    These are sent to the cluster: the study file, the data beside it, this package, and the settings of MLflow and
    Optuna. Credentials are sent too, but neither their names nor their values are shown. A study that is submitted
    again while it runs is not started twice; with --follow you see its log, whose paths and commands are those of the
    cluster's machine. Ctrl-C during --follow leaves the job running.

    \b
    Exit codes: with --follow those of `gradstab run`; else 0 submitted or
    running already; 1 the cluster refused; 2 wrong usage or study.
    """
    announce(f"reading {study}")
    from gradstab.commands.lookup import find_settings, find_study
    from gradstab.commands.terminal import say
    from gradstab.execution.jobs import ClusterJobs, given_address

    found_address = given_address(address)
    if found_address is None:
        raise UsageError(
            "the cluster's address is missing: give --address http://HEAD:8265, or set RAY_API_SERVER_ADDRESS"
        )
    totals = (f"budget.trials={trials}",) if trials is not None else ()
    declared, source = find_study(study, None, (*overrides, *totals), name=name, seed=seed)
    flags = [("--trials", trials), ("--seed", seed), ("--name", name), ("--results", results)]
    arguments = [part for flag, value in flags if value is not None for part in (flag, str(value))]
    arguments += [part for override in overrides for part in ("--set", override)]
    say(f"asking the cluster at {found_address} ...")
    jobs = ClusterJobs(found_address)
    job = jobs.latest(declared.name)
    if stop:
        _stop(jobs, job, declared.name)
        return
    if job is not None and not job.ended:
        say(f"job {job.job_id} runs already: not submitted again")
    else:
        from gradstab.execution.jobs import Job
        from gradstab.system.provenance import COMMIT_VARIABLE, git_commit

        job = Job(declared.name, 1 if job is None else job.attempt + 1, "submitted", False, None, "")
        environment, secrets = travelling_settings(find_settings(declared, source, None), os.environ)
        # this package travels without its history; the commit of the image would be wrong
        environment[COMMIT_VARIABLE] = git_commit() or ""
        environment["RAY_JOB_STOP_WAIT_TIME_S"] = str(int(drain_seconds() + _STOP_MARGIN))
        with tempfile.TemporaryDirectory() as folder:
            file_name = pack_parcel(declared, source, Path(folder))
            write_secrets(secrets, job.attempt, Path(folder))
            jobs.submit(job, ["run", file_name, *arguments], Path(folder), environment, python=python)
        say(f"job {job.job_id} submitted to {found_address}")
    say(f"Ray dashboard: {jobs.page(job)}")
    if follow:
        sys.exit(_followed(jobs, job))
    say(f"follow it: {follow_command(study, found_address, arguments)}")


def follow_command(study: str, address: str, arguments: Sequence[str]) -> str:
    """The command that follows the job; without the arguments of the submission it would begin another study."""
    return shlex.join(["gradstab", "submit", study, "--address", address, *arguments, "--follow"])


def _stop(jobs: ClusterJobs, job: Job | None, name: str) -> None:
    from gradstab.commands.terminal import say
    from gradstab.errors import GradstabError

    if job is None or job.ended:
        say(f"no job of the study {name!r} is running")
        return
    say(f"stopping {job.job_id}: trials in flight that end soon finish")
    job = jobs.stop(job, drain_seconds() + 2 * _STOP_MARGIN)
    if not job.ended:
        raise GradstabError(f"the job {job.job_id} was asked to stop but still runs: look at its log")
    say(f"job {job.job_id} {job.status}; submit the study again to continue it")


def _followed(jobs: ClusterJobs, job: Job) -> int:
    """The exit code of the study, once its job has ended."""
    from gradstab.commands.terminal import say

    def show(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    try:
        job = jobs.follow(job, show)
    except KeyboardInterrupt:
        say(f"job {job.job_id} keeps running; --stop stops it")
        return EXIT_INTERRUPTED
    if job.exit_code is not None:
        return job.exit_code
    if job.status == "stopped":
        say(f"job {job.job_id} was stopped")
        return EXIT_INTERRUPTED
    say(f"job {job.job_id} {job.status}: {job.message}")
    return EXIT_FAILED


def pack_parcel(study: Study, source: Path | None, folder: Path) -> str:
    """Fill `folder` with the job's files; returns the name of the study file in it.

    A data file in or below the study file's folder travels, and so do modules there that a Python study imports. Any
    other path must exist on the cluster.
    """
    shutil.copy(job_entry.__file__, folder)
    if source is None and study.functions:
        raise UsageError(
            f"a study of functions of the user must be submitted by its file, got the name {study.name!r}: the file "
            "holds or imports them"
        )
    if source is None:
        import yaml

        (folder / f"{study.name}.yaml").write_text(yaml.safe_dump(study.dump(), sort_keys=False))
        return f"{study.name}.yaml"
    shutil.copy(source, folder)
    here = source.parent
    paths = [source.name] if source.suffix.lower() == ".py" else []
    modules = [path.partition(":")[0] for path in study.import_paths]
    for name, content in collect_sources(here, paths, modules).items():
        copied = folder / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(content)
    path = file_of(study.data)
    if path is not None and path.is_relative_to(here):
        beside = folder / path.relative_to(here)
        beside.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, beside)
    return source.name


def travelling_settings(settings: Settings, environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The job's environment variables, plain and secret ones: MLFLOW_* of mlflow.env and of the environment, the Optuna
    storage, and the grace period.

    The results folder is a path on the cluster and stays as it is. A value that only this machine understands (a
    loopback address, a file) is used only if the cluster has not set its own.
    """
    named = {
        **settings.mlflow_env,
        **{name: value for name, value in environment.items() if name.startswith("MLFLOW_")},
        **{name: environment[name] for name in _TRAVELLING if name in environment},
    }
    plain: dict[str, str] = {}
    secret: dict[str, str] = {}
    for name, value in sorted(named.items()):
        hidden = any(word in name for word in _SECRET_WORDS) or without_password(value) != value
        prefix = job_entry.IF_UNSET if _names_this_machine(value) else ""
        (secret if hidden else plain)[f"{prefix}{name}"] = value
    return plain, secret


def write_secrets(variables: Mapping[str, str], attempt: int, folder: Path) -> None:
    """Put secret variables into a parcel. The job removes them, so that each attempt needs its own parcel."""
    if variables:
        path = folder / job_entry.SECRETS
        path.touch(mode=0o600)
        path.write_text(json.dumps({"variables": dict(variables), "attempt": attempt}))


def _names_this_machine(value: str) -> bool:
    scheme, separator, _ = value.partition(":")
    if scheme in ("sqlite", "journal", "file"):
        return True
    return bool(separator) and "://" in value and urlsplit(value).hostname in LOOPBACK
