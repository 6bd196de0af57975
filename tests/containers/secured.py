"""The secured stack: what it refuses, what it runs, and that its credentials show nowhere."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request

from tests.containers.stack import Process, Stack, run

SMALL = ("--trials", "24", "--set", "recipe.steps=20")
STUDY = "studies/quickstart.py"
WRONG = "wrong-" * 6


def check_secured(stack: Stack) -> None:
    """All of it, ending the process with a sentence at the first thing that does not hold."""
    token, password = stack.secrets["ray-token"], stack.secrets["mlflow-password"]
    runs = f"{stack.mlflow}/api/2.0/mlflow/experiments/search?max_results=1"
    jobs = f"{stack.ray}/api/jobs/"
    _expect(401, runs)
    _expect(401, runs, user=WRONG)
    _expect(200, runs, user=password)
    _expect(401, jobs)
    _expect(403, jobs, Authorization=f"Bearer {WRONG}")
    _expect(200, jobs, Authorization=f"Bearer {token}")
    print("  MLflow and Ray refuse a request without credentials and with wrong ones, and answer one with the right")

    _least_rights(stack, password)

    submit = ("submit", STUDY, "--address", stack.ray, "--follow", *SMALL)
    _one_sentence(stack, "submitted without a token", "token", submit, RAY_AUTH_TOKEN_PATH="/nowhere")
    _one_sentence(stack, "submitted with a wrong token", "token", submit, RAY_AUTH_TOKEN=WRONG)
    inside = ("gradstab", "run", "/opt/studies/quickstart.py", *SMALL, "--name")
    no_token, bad_token = ("--env=RAY_AUTH_TOKEN_PATH=",), (f"--env=RAY_AUTH_TOKEN={WRONG}",)
    _refused_inside(stack, "run without a token", no_token, (*inside, "no-token"), "token", 1)
    _refused_inside(stack, "run with a wrong token", bad_token, (*inside, "bad-token"), "token", 1)
    nobody = ("--env=HOME=/tmp", "--env=PGPASSFILE=/home/gradstab/.pgpass")  # MLflow's file of credentials is in HOME
    _refused_inside(stack, "run without MLflow's user", nobody, (*inside, "no-user"), "MLFLOW_TRACKING_PASSWORD", 2)
    stranger = ("--env=MLFLOW_TRACKING_USERNAME=gradstab", f"--env=MLFLOW_TRACKING_PASSWORD={WRONG}")
    _refused_inside(stack, "run with a wrong password", stranger, (*inside, "bad-user"), "MLFLOW_TRACKING_PASSWORD", 2)
    made = {"no-user", "bad-user"} & set(stack.in_head("ls", "/results").stdout.split())
    if made:
        sys.exit(f"a run that MLflow refuses must leave nothing behind, but /results holds {sorted(made)}")

    began = time.monotonic()
    driver = stack.gradstab(*submit, RAY_AUTH_TOKEN=token, RAY_AUTH_MODE="token")
    code, log = driver.outcome(200)
    if code:
        sys.exit(f"a study submitted with its token must run, but it ended with {code}:\n{log[-3000:]}")
    print(f"  submitted with its token: 24 trials in {time.monotonic() - began:.0f} s")
    for verb in ("doctor", "sync", "remove"):
        command = ("gradstab", verb, "quickstart", *(("--yes",) if verb == "remove" else ()))
        _refused_inside(stack, f"{verb} without MLflow's user", nobody, command, "MLFLOW_TRACKING_PASSWORD", 2)
    _shown_nowhere(stack, log)


def _least_rights(stack: Stack, password: str) -> None:
    """The user of drivers is no administrator of MLflow, and each database is its own role's alone."""
    _expect(403, f"{stack.mlflow}/api/2.0/mlflow/users/get?username=admin", user=password)
    for role, other in (("optuna", "mlflow"), ("mlflow", "optuna")):
        for database, code in ((role, 0), (other, 2)):
            answer = stack.psql(role, f"{role}-db-password", database, "SELECT 1")
            if answer.returncode != code:
                sys.exit(
                    f"the role {role} on {database}: exit code {code} is due, got {answer.returncode}: {answer.stderr}"
                )
        rights = stack.psql(
            role,
            f"{role}-db-password",
            role,
            "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user",
        )
        if rights.stdout.strip() != "f":
            sys.exit(f"the role {role} must have no rights beyond its database, got {rights.stdout}{rights.stderr}")
    print("  the user of drivers is no administrator of MLflow, and no role reads the other's database")


def _expect(status: int, url: str, *, user: str | None = None, **headers: str) -> None:
    if user is not None:
        import base64

        headers["Authorization"] = "Basic " + base64.b64encode(f"gradstab:{user}".encode()).decode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=30) as answer:
            got = answer.status
    except urllib.error.HTTPError as error:
        got = error.code
    if got != status:
        sys.exit(f"{url} must answer {status} to {sorted(headers) or 'no credentials'}, got {got}")


def _one_sentence(stack: Stack, what: str, word: str, arguments: tuple[str, ...], **environment: str) -> None:
    code, said = stack.gradstab(*arguments, **environment).outcome(120)
    last = said.splitlines()[-1] if said else ""
    if code != 1 or not last.startswith("gradstab: ") or word not in last or "Traceback" in said:
        sys.exit(f"{what}: one sentence about the {word} and exit code 1 are due, got {code} and:\n{said}")
    print(f"  {what}: {last}")


def _inside(stack: Stack, variables: tuple[str, ...], command: tuple[str, ...]) -> Process:
    return stack.compose("exec", "--no-TTY", *variables, "head", *command, check=False, timeout=200)


def _refused_inside(
    stack: Stack, what: str, variables: tuple[str, ...], command: tuple[str, ...], word: str, code: int
) -> None:
    said = _inside(stack, variables, command)
    last = said.stderr.strip().splitlines()[-1]
    if said.returncode != code or not last.startswith("gradstab: ") or word not in last or "Traceback" in said.stderr:
        sys.exit(
            f"{what}: one sentence about {word} and exit code {code} are due, got {said.returncode}:\n{said.stderr}"
        )
    print(f"  {what}: {last}")


def _shown_nowhere(stack: Stack, log: str) -> None:
    """No credential in any log, process list, results folder, Ray session, or MLflow's params and tags."""
    places = {"what submit printed": log}
    for service in ("postgres", "mlflow", "head", "worker"):
        for container in stack.containers(service):
            places[f"{service}'s log"] = (
                run("docker", "logs", container).stdout + run("docker", "logs", container).stderr
            )
            places[f"{service}'s processes"] = run("docker", "top", container, "-eo", "pid,args").stdout
    places["MLflow's params and tags"] = json.dumps(stack.held("quickstart")["written"])
    places["the results folder"] = _all_text(stack, "/results")
    places["Ray's session"] = _all_text(stack, "/tmp/ray")
    for place, text in places.items():
        for name, value in stack.secrets.items():
            if value in text:
                sys.exit(f"{name} must not show, but it is in {place}")
    size = sum(map(len, places.values()))
    print(f"  none of {len(stack.secrets)} secrets in {size / 1e6:.1f} MB of {', '.join(places)}")


def _all_text(stack: Stack, folder: str) -> str:
    script = (
        "import pathlib, sys\n"
        f"for p in pathlib.Path('{folder}').rglob('*'):\n"
        "    if p.is_file():\n"
        "        sys.stdout.buffer.write(p.read_bytes())\n"
    )
    return stack.in_head("python", "-c", script, errors="replace").stdout
