"""`gradstab submit`: a study run on a cluster by a job of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gradstab.commands.draining import drain_seconds
from gradstab.errors import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from gradstab.execution.jobs import ClusterJobs, Job

_STOP_MARGIN = 20.0  # seconds for records and shipper, beyond what trials in flight are given


@click.command()
@click.argument("study")
@click.option("--address", help="The cluster: http://HEAD:8265 (else RAY_API_SERVER_ADDRESS, else RAY_ADDRESS).")
@click.option("--follow", is_flag=True, help="Show the job's log until it ends, and exit as the study does.")
@click.option("--stop", is_flag=True, help="Let trials in flight finish, then stop the job.")
@click.option("--trials", type=click.IntRange(min=1), help="Total of trials to reach (not: how many more).")
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Replace a field, as recipe.width=256.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the study.")
@click.option("--name", help="Run under this name: a study of its own.")
@click.option("--results", metavar="DIR", help="Folder of all results, on the cluster (else as set there).")
@click.option("--python", default="python", show_default=True, help="Interpreter on the cluster's head.")
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
    """Run STUDY on a Ray cluster, as a job there: this machine may go away.

    The study's file, data beside it, this package and the settings of MLflow and Optuna travel; names and values of
    credentials are not shown. Submitted again while it runs, it is not started twice; --follow then follows it.
    Ctrl-C while following leaves the job running.

    \b
    Exit codes: with --follow those of `gradstab run`; else 0 submitted, or running already; 1 the cluster refused;
    2 wrong usage or study.
    """
    from gradstab.commands.lookup import find_settings, find_study
    from gradstab.commands.terminal import say
    from gradstab.errors import UsageError
    from gradstab.execution.jobs import ClusterJobs, given_address

    found_address = given_address(address)
    if found_address is None:
        raise UsageError("the cluster's address must be given: --address http://HEAD:8265, or RAY_API_SERVER_ADDRESS")
    totals = (f"budget.trials={trials}",) if trials is not None else ()
    declared, source = find_study(study, None, (*overrides, *totals), name=name, seed=seed)
    jobs = ClusterJobs(found_address)
    job = jobs.latest(declared.name)
    if stop:
        _stop(jobs, job, declared.name)
        return
    if job is not None and not job.ended:
        say(f"job {job.job_id} runs already: not submitted again")
    else:
        from gradstab.commands.submission import pack_parcel, travelling_settings, write_secrets
        from gradstab.execution.jobs import Job
        from gradstab.system.provenance import COMMIT_VARIABLE, git_commit

        job = Job(declared.name, 1 if job is None else job.attempt + 1, "submitted", False, None, "")
        environment, secrets = travelling_settings(find_settings(declared, source, None), os.environ)
        # this package travels, its history does not; the image's commit is not ours
        environment[COMMIT_VARIABLE] = git_commit() or ""
        environment["RAY_JOB_STOP_WAIT_TIME_S"] = str(int(drain_seconds() + _STOP_MARGIN))
        flags = [("--trials", trials), ("--seed", seed), ("--name", name), ("--results", results)]
        arguments = [part for flag, value in flags if value is not None for part in (flag, str(value))]
        arguments += [part for override in overrides for part in ("--set", override)]
        with tempfile.TemporaryDirectory() as folder:
            file_name = pack_parcel(declared, source, Path(folder))
            write_secrets(secrets, job.attempt, Path(folder))
            jobs.submit(job, ["run", file_name, *arguments], Path(folder), environment, python=python)
        say(f"job {job.job_id} submitted to {found_address}")
    say(f"Ray dashboard: {jobs.page(job)}")
    if follow:
        sys.exit(_followed(jobs, job))
    say(f"follow it: gradstab submit {study} --address {found_address} --follow")


def _stop(jobs: ClusterJobs, job: Job | None, name: str) -> None:
    from gradstab.commands.terminal import say
    from gradstab.errors import GradstabError

    if job is None or job.ended:
        say(f"no job of the study {name!r} runs: nothing to stop")
        return
    say(f"stopping {job.job_id}: trials in flight finish")
    job = jobs.stop(job, drain_seconds() + 2 * _STOP_MARGIN)
    if not job.ended:
        raise GradstabError(f"the job {job.job_id} must end when it is stopped, but it still runs: look at its log")
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
        say(f"job {job.job_id} goes on; --stop stops it")
        return EXIT_INTERRUPTED
    if job.exit_code is not None:
        return job.exit_code
    if job.status == "stopped":
        say(f"job {job.job_id} was stopped")
        return EXIT_INTERRUPTED
    say(f"job {job.job_id} {job.status}: {job.message}")
    return EXIT_FAILED
