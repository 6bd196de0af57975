"""The command as a person meets it: verbs, exit codes, and one clear sentence wherever something must change."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from gradstab.cli import VERBS, cli
from gradstab.loop import calibration
from tests.endtoend.command import AWAY, NO_CHILDREN, PATIENCE, Place, assert_exactly_once, finished, values_of
from tests.tracking.lossy_proxy import free_port


@pytest.fixture
def place(tmp_path, empty_database) -> Place:
    return Place(tmp_path).with_database(empty_database)


def assert_one_clear_sentence(stderr: str, *parts: str) -> None:
    assert "Traceback" not in stderr
    for part in parts:
        assert part in stderr, stderr


def test_help_names_every_verb_and_says_what_it_does(place):
    done = place.run("--help")
    assert done.returncode == 0
    listed = done.stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed] == list(VERBS)
    assert all(len(line.split()) > 3 for line in listed), done.stdout


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(verb):
    done = CliRunner().invoke(cli, [verb, "--help"], prog_name="gradstab")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"Usage: gradstab {verb}")


def test_shell_completion_is_there(place):
    done = place.run(_GRADSTAB_COMPLETE="bash_source")
    assert "complete" in done.stdout


def test_check_imports_nothing_heavy_and_prints_data_on_stdout(place):
    place.write_study()
    code = (
        "import sys\nfrom gradstab.cli import main\n"
        "sys.argv = ['gradstab', 'check', 'study', '--format', 'json']\n"
        "try: main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'ray', 'optuna', 'mlflow', 'pandas', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=place.root,
        env=place.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["study"]["name"] == "study"
    assert found["estimate"]["trials"] == 24
    assert found["estimate"]["calibrated"] is False


def test_check_table_says_packs_time_memory_disk_and_rows(place, monkeypatch, tmp_path):
    """On a machine whose speed is not known; other tests of this process may have measured it."""
    monkeypatch.setattr(calibration, "calibration_path", lambda: tmp_path / "calibration.json")
    place.write_study()
    done = place.call("check", "study")
    assert done.returncode == 0
    for word in ("trials", "packs", "time", "rough", "overhead", "memory", "disk", "MLflow", "rows"):
        assert word in done.stdout
    assert "looks at results" not in done.stdout


def test_check_says_that_an_adaptive_sampler_limits_its_packs(place):
    place.write_study()
    done = place.call("check", "study", "--set", "sampler.type=boundary", "--set", "sampler.batch=5")
    assert done.returncode == 0, done.stderr
    assert "5 packs of up to 5" in done.stdout
    assert "looks at results after every 5 trials" in " ".join(done.stdout.split())


def test_check_says_that_a_stop_needs_more_trials(place):
    place.write_study(more="stop: {error: 0.05}\n")
    assert "cannot be reached in 24 trials: it takes 60 audits" in place.call("check", "study").stdout
    assert "cannot be reached" not in place.call("check", "study", "--set", "budget.trials=400").stdout


def test_check_prints_its_lines_first_and_the_study_only_in_full(place):
    place.write_study()
    short = place.call("check", "study").stdout
    assert len(short.splitlines()) < 12
    full = place.call("check", "study", "--full").stdout
    assert full.startswith(short)
    assert "learning_rate: 0.05" in full


def test_run_status_list_and_the_same_run_again(place, tmp_path_factory):
    path = place.write_study()
    first = place.run("run", "study", "--engine", "serial", "--format", "json")
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    assert sum(found["verdicts"].values()) == 24
    for name in ("results", "tracking", "storage"):
        assert f"{name:8}" in first.stderr
    assert f"{'ray':8}" not in first.stderr, "the serial engine does without"
    assert "(GRADSTAB_RESULTS)" in first.stderr
    assert_exactly_once(place, 24)
    before = values_of(place.records())

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    again = subprocess.run(
        [sys.executable, "-m", "gradstab", "run", str(path), "--engine", "serial"],
        cwd=elsewhere,
        env=place.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert "24 of 24 done" in again.stderr
    assert values_of(place.records()) == before
    assert_exactly_once(place, 24)

    status = json.loads(place.call("status", "study", "--format", "json").stdout)
    assert (status["done"], status["trials"], status["waiting for MLflow"]) == (24, 24, 0)
    assert sum(status["verdicts"].values()) == 24
    (listed,) = json.loads(place.call("list", "--format", "json").stdout)
    assert (listed["name"], listed["done"], listed["trials"]) == ("study", 24, 24)
    assert listed["bytes"] > 10_000
    assert "24" in place.call("list").stdout


def test_a_run_ends_with_its_report(place):
    place.write_study()
    done = place.call_unshipped("run", "study", "--engine", "serial", "--trials", "6", "--report")
    page = place.folder / "report" / "index.html"
    assert done.returncode == 0, done.stderr
    assert str(page) in done.stdout
    assert "6 trainings were measured" in page.read_text()


def test_trials_is_the_total_and_keeps_what_is_there(place):
    place.write_study()
    place.call_unshipped("run", "study", "--engine", "serial", "--trials", "8")
    few = values_of(place.records())
    done = place.call_unshipped("run", "study", "--engine", "serial", "--trials", "12")
    assert "8 of 12 done" in done.stderr
    assert len(place.records()) == 12
    assert {number: value for number, value in values_of(place.records()).items() if number < 8} == few


def test_an_edited_study_is_refused_with_the_difference(place):
    path = place.write_study()
    place.call_unshipped("run", "study", "--engine", "serial", "--trials", "4")
    path.write_text(path.read_text().replace("high: 8", "high: 16"))
    edited = place.call_unshipped("run", "study", "--engine", "serial")
    assert edited.returncode == 2
    assert_one_clear_sentence(edited.stderr, "space.depth.high: 8 -> 16", "--name")
    place.write_study()
    changed = place.call_unshipped("run", "study", "--engine", "serial", "--set", "recipe.width=32", "--seed", "5")
    assert changed.returncode == 2
    assert_one_clear_sentence(changed.stderr, "recipe.width: 16 -> 32", "seed: 0 -> 5", "--name")
    named = place.call_unshipped(
        "run", "study", "--engine", "serial", "--set", "recipe.width=32", "--name", "wide", "--trials", "2"
    )
    assert named.returncode == 0, named.stderr


def test_what_may_change_between_runs(place):
    path = place.write_study()
    place.call_unshipped("run", "study", "--engine", "serial", "--trials", "4")
    path.write_text(path.read_text().replace("Does every", "Will every") + "resources: {slots: 1}\n")
    assert place.call_unshipped("run", "study", "--engine", "serial", "--trials", "5").returncode == 0


def test_two_runs_at_once_the_second_says_who_holds_it(place):
    place.write_study(trials=40_000)  # more than it comes to before it is killed
    first = place.start_unshipped("run", "study", "--engine", "serial")
    try:
        place.await_segment(first)
        second = place.call("run", "study", "--engine", "serial")
        assert second.returncode == 1
        assert_one_clear_sentence(second.stderr, f"process {first.pid} on ", "holds it")
        status = json.loads(place.call("status", "study", "--format", "json").stdout)
        assert f"process {first.pid}" in status["running"]
    finally:
        first.kill()
        first.communicate()


def test_ctrl_c_lets_trials_in_flight_finish_and_the_study_continues(place):
    place.write_study(trials=1000)
    process = place.start_unshipped("run", "study", "--engine", "serial")
    place.await_segment(process)
    process.send_signal(signal.SIGINT)
    _, stderr = finished(process)
    assert process.returncode == 130
    assert_one_clear_sentence(stderr, "stopping: trials in flight that end within 15 s finish")
    numbers = {record.number for record in place.records()}
    recorded = len(numbers)
    assert 0 < recorded < 1000
    assert {trial.state.name for trial in place.optuna_trials() if trial.number in numbers} == {"COMPLETE"}
    total = recorded + 5
    done = place.call_unshipped("run", "study", "--engine", "serial", "--trials", str(total))
    assert done.returncode == 0, done.stderr
    assert f"{recorded} of {total} done" in done.stderr


def test_a_second_ctrl_c_exits_at_once_and_the_study_continues(place):
    place.write_study(trials=1000, steps=300, more=NO_CHILDREN)
    process = place.start("run", "study", "--engine", "serial")
    place.await_segment(process)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "stopping: " not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = finished(process)
    assert process.returncode == 130
    assert stderr.endswith("stopped\n"), "it drained after the second Ctrl-C"
    assert "Traceback" not in stderr
    total = len(place.records()) + 3
    done = place.call_unshipped("run", "study", "--engine", "serial", "--trials", str(total))
    assert done.returncode == 0, done.stderr
    numbers = [record.number for record in place.records()]
    assert len(set(numbers)) == len(numbers) >= total


@contextlib.contextmanager
def interrupts_ignored() -> Iterator[None]:
    """As a shell without job control ignores them for what a script starts with `&`."""
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.parametrize(
    ("around", "end"),
    [
        pytest.param(contextlib.nullcontext, signal.SIGINT, marks=pytest.mark.faults),
        (interrupts_ignored, signal.SIGINT),
        pytest.param(interrupts_ignored, signal.SIGTERM, marks=pytest.mark.faults),
    ],
)
def test_ui_serves_the_right_store_prints_the_link_and_leaves_no_server(place, around, end):
    place.write_study(trials=2)
    place.call("run", "study", "--engine", "serial")
    with around():
        process = place.start("ui", "study", "--port", str(free_port()))
    assert process.stdout is not None
    try:
        link = process.stdout.readline().strip()
        base, _, fragment = link.partition("/#/")
        assert fragment.startswith("experiments/1/runs?workflowType=machine_learning")
        body = json.dumps({"experiment_ids": ["1"], "filter": "tags.kind = 'trial'"}).encode()
        request = urllib.request.Request(
            f"{base}/api/2.0/mlflow/runs/search", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            runs = json.load(answer)["runs"]
        numbers = [tag["value"] for run in runs for tag in run["data"]["tags"] if tag["key"] == "trial"]
        assert sorted(numbers) == ["0", "1"]
    finally:
        process.send_signal(end)
        _, stderr = finished(process)
    assert process.returncode == 0
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert lines == ["reading study ...", "starting MLflow ..."], "the server's own messages are in a file"
    assert "Uvicorn" in (place.root / "results" / "mlflow-ui.log").read_text()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{base}/health", timeout=5)


def test_an_unreachable_mlflow_loses_nothing_and_sync_ships_later(place):
    place.write_study(trials=8)
    done = place.call_with_shipper("run", "study", "--engine", "serial", **AWAY)
    assert done.returncode == 0, done.stderr
    assert_one_clear_sentence(done.stderr, "8 trials wait: gradstab sync study")
    still = place.call_with_shipper("sync", "study", **AWAY)
    assert still.returncode == 4
    assert_one_clear_sentence(still.stderr, "8 trials were not sent", "http://127.0.0.1:9")
    later = place.call("sync", "study")
    assert later.returncode == 0, later.stderr
    assert_exactly_once(place, 8)


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (["run", "nothing"], 2, ["STUDY must be a study file", "'nothing'"]),
        (["ui", "nothing"], 2, ["there is no study 'nothing' in", "no such study file"]),
        (["status", "nothing"], 2, ["'nothing'"]),
        (["status", "study"], 2, ["has no results in"]),
        (["sync", "study"], 2, ["has no results in"]),
        (["run", "study", "--trials", "0"], 2, ["0"]),
        (["run", "study", "--set", "recipe.width=lots"], 2, ["recipe.width", "'lots'"]),
        (["run", "study", "--set", "budget=3"], 2, ["budget"]),
        (["fly"], 2, ["fly"]),
        (["run", "study", "--results", "/proc/nowhere"], 4, ["/proc/nowhere", "cannot be created"]),
        (["run", "study", "--engine", "serial", "--set", "storage=mysql://x"], 2, ["mysql"]),
    ],
)
def test_wrong_usage_is_one_sentence(place, arguments, code, parts):
    place.write_study()
    done = place.call(*arguments)
    assert done.returncode == code, done.stderr
    assert_one_clear_sentence(done.stderr, *parts)


@pytest.mark.parametrize("engine", ["serial", pytest.param("ray", marks=pytest.mark.faults)])
def test_mnist_without_a_network_is_one_sentence_and_fails_no_trial(place, engine):
    place.write_study(trials=4, more="data: {type: mnist}\n")
    # a proxy that is not there stands for the missing network
    closed = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    done = place.run_unshipped(
        "run", "study", "--engine", engine, SCIKIT_LEARN_DATA=str(place.root / "cache"), **closed
    )
    assert done.returncode == 2, done.stderr
    assert_one_clear_sentence(done.stderr, "MNIST", "digits")
    assert place.records() == []


def test_an_old_mlruns_folder_does_not_matter(place):
    place.write_study(trials=4)
    (place.root / "mlruns" / "0").mkdir(parents=True)
    (place.root / "mlruns" / "0" / "meta.yaml").write_text("artifact_location: x\n")
    assert place.call("run", "study", "--engine", "serial").returncode == 0
    assert_exactly_once(place, 4)


def test_default_mlflow_database_is_made_in_wal_mode(tmp_path):
    place = Place(tmp_path)
    place.write_study(trials=2)
    place.call("run", "study", "--engine", "serial")
    with sqlite3.connect(place.root / "results" / "mlflow" / "mlflow.db") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_sqlite_storage_is_a_real_optuna_study(place):
    import optuna

    place.write_study(trials=6)
    url = f"sqlite:///{place.root}/optuna.db"
    assert place.call_unshipped("run", "study", "--engine", "serial", OPTUNA_STORAGE=url).returncode == 0
    assert len(optuna.load_study(study_name="study", storage=url).trials) == 6


def test_results_in_python(place, monkeypatch):
    place.write_study(trials=6)
    place.call_unshipped("run", "study", "--engine", "serial")
    from gradstab import load_results

    results = load_results(place.folder)
    assert list(results.trials.index) == list(range(6))
    assert {"depth", "init_scale", "gradient_ratio", "margin", "verdict", "phase", "outcome"} <= set(
        results.trials.columns
    )
    trajectory = results.trajectory(3)
    assert trajectory["log10_delta_norm"].shape == (2, results.trials.loc[3, "depth"])
