"""What can be known of docker/ without an engine: that its files parse, keep the rules and match published schemas.

`make test-containers` brings the stack up for real.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

from gradstab.system.provenance import COMMIT_VARIABLE
from tests.docker_scripts import DOCKER, ROOT, script

COMPOSE = ["compose.yaml", "compose.secured.yaml", "compose.tls.yaml"]
SECRET = re.compile("PASSWORD|TOKEN|SECRET", re.IGNORECASE)
NO_SECRET = {"RAY_AUTH_MODE"}
MARKED = {"GRADSTAB_CONTAINER": "1"}
ENDS_BY_ITSELF = {"databases", "users"}
# a tag of two numbers is another Python a month later, one of a word alone another system too
EXACT_PYTHON = re.compile(r"python:\d+\.\d+\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?")


DRAIN = script("drain")
LOCK = script("lock")
MAKE_SECRETS = script("make_secrets")


class _ComposeLoader(yaml.SafeLoader):
    """YAML with compose's own tags."""


def _override(loader: yaml.SafeLoader, node: yaml.SequenceNode) -> list[Any]:
    return list(loader.construct_sequence(node, deep=True))


_ComposeLoader.add_constructor("!override", _override)


def compose(name: str) -> dict[str, Any]:
    loaded = yaml.load((DOCKER / name).read_text(), _ComposeLoader)
    assert isinstance(loaded, dict)
    return loaded


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose("compose.yaml")["services"]
    return found


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, lines joined, comments left out."""
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word]


def stages() -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions():
        if word == "FROM":
            found[rest.split(" AS ")[1]] = []
        elif found:
            list(found.values())[-1].append((word, rest))
    return found


def every_service() -> dict[str, dict[str, Any]]:
    """Services of all compose files by name, each as the file that introduces it says it."""
    found: dict[str, dict[str, Any]] = {}
    for file in COMPOSE:
        for name, service in compose(file)["services"].items():
            found.setdefault(name, service)
    return found


@pytest.mark.parametrize("name", list(every_service()))
def test_service_has_no_rights_and_writes_into_volumes_and_memory_alone(name):
    service = every_service()[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    # the images of gradstab name their user themselves
    assert service["image"].startswith("gradstab-") or service["user"] not in ("", "root", "0")
    for place in service.get("tmpfs", []):
        assert re.search(r"[:,]size=\d+m", place), f"{name} could fill the memory with {place}"
    for file in COMPOSE:
        changed = compose(file)["services"].get(name, {})
        assert not {"cap_add", "privileged", "pid", "network_mode"} & set(changed)
        assert changed.get("read_only", True) is True


def test_workers_share_a_network_with_the_head_alone_and_the_database_has_no_way_out():
    networks = compose("compose.yaml")["networks"]
    on = {name: {user for user, service in services().items() if name in service["networks"]} for name in networks}
    assert on == {
        "data": {"postgres", "databases", "mlflow", "head", "dashboard"},
        "cluster": {"head", "worker"},
        "web": {"mlflow", "dashboard"},
    }
    assert networks["data"] == {"internal": True}
    # Ray tells workers the address of the network that leads out, so there must be one such network
    assert [name for name in services()["head"]["networks"] if not networks[name]] == ["cluster"]
    for file in COMPOSE[1:]:
        later = compose(file)
        assert all(network == {"internal": True} for network in later.get("networks", {}).values())
        assert "networks" not in later["services"].get("worker", {})
        assert "networks" not in later["services"].get("postgres", {})


@pytest.mark.parametrize("file", COMPOSE)
def test_secrets_reach_services_as_files_and_none_is_written_down(file):
    loaded = compose(file)
    # services that cannot write into their root take secrets from files alone
    for name, source in loaded["secrets"].items():
        assert source == {"file": f"${{SECRETS_FOLDER:-secrets}}/{name}"}
    used = {
        secret if isinstance(secret, str) else secret["source"]
        for service in loaded["services"].values()
        for secret in service.get("secrets", [])
    }
    assert used <= {name for other in COMPOSE for name in compose(other)["secrets"]}

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                if SECRET.search(str(key)) and isinstance(inner, str) and key not in NO_SECRET:
                    assert inner.startswith("/run/secrets/"), f"{key} is written into {file}"
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(loaded["services"])
    text = (DOCKER / file).read_text()
    assert not [name for name in re.findall(r"\$\{([A-Z_]+)", text) if SECRET.search(name) and name != "SECRETS_FOLDER"]
    for url in re.findall(r"[a-z+]+://[^\s\"'\]]+", text):
        assert not re.search("//[^/@]*:[^/@]*@", url), f"{url} holds a password"


def test_every_secret_but_a_certificate_is_made_and_git_ignores_them_all():
    named = {name for file in COMPOSE for name in compose(file)["secrets"]}
    assert named - {"tls-certificate", "tls-key"} == set(MAKE_SECRETS.NAMES)
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"/docker/.env", "/docker/secrets/"} <= set(ignored)
    assert (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()[0] == "*"


def test_example_env_names_every_variable_and_sets_none():
    example = (DOCKER / "example.env").read_text()
    given = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", example, re.MULTILINE))
    wanted = {name for file in COMPOSE for name in re.findall(r"\$\{([A-Z_]+)", (DOCKER / file).read_text())}
    said_for_one_build = {"GRADSTAB_TAG", "GRADSTAB_GIT_COMMIT"}
    assert wanted - said_for_one_build == set(given)
    assert not re.findall(r"^[A-Z_]+=", example, re.MULTILINE)


def test_ports_are_open_on_this_machine_alone():
    for name, service in services().items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} opens {port}"
    for name, service in compose("compose.secured.yaml")["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("${BIND_ADDRESS:-127.0.0.1}:"), f"{name} opens {port}"
    for name, service in compose("compose.tls.yaml")["services"].items():
        start = "${BIND_ADDRESS:-127.0.0.1}:" if name == "tls" else "127.0.0.1:"
        for port in service.get("ports", []):
            assert port.startswith(start), f"{name} opens {port}"


@pytest.mark.parametrize("name", list(every_service()))
def test_service_is_limited_watched_and_pinned(name):
    service = every_service()[name]
    assert service["mem_limit"]
    assert service["cpus"]
    if name in ENDS_BY_ITSELF:
        assert service["healthcheck"] == {"disable": True}
    else:
        assert service["healthcheck"]["test"]
    tag = service["image"].rpartition(":")[2].rstrip("}")
    assert tag not in ("", "latest", service["image"])
    # a reboot brings back what stays, and does not run again what ends by itself
    assert service["restart"] == ("on-failure" if name in ENDS_BY_ITSELF else "unless-stopped")


def test_each_database_has_a_role_of_its_own_and_no_service_logs_in_as_the_superuser():
    superuser = services()["postgres"]["environment"]["POSTGRES_USER"]
    for name, service in services().items():
        used = {secret if isinstance(secret, str) else secret["source"] for secret in service.get("secrets", [])}
        assert ("postgres-password" in used) == (name in ("postgres", "databases"))
        urls = re.findall(r"postgresql(?:\+psycopg)?://(\w+)@postgres/(\w+)", str(service))
        assert all(role == database != superuser for role, database in urls), f"{name} logs in as {urls}"
    assert "NOSUPERUSER NOCREATEDB NOCREATEROLE" in (DOCKER / "roles.sql").read_text()


def test_studies_log_in_to_mlflow_as_no_administrator():
    secured = compose("compose.secured.yaml")["services"]
    for name in ("head", "worker"):
        assert not any("admin" in secret for secret in secured[name]["secrets"])
        assert "MLFLOW_AUTH_ADMIN_USERNAME" not in secured[name]["environment"]
    assert set(secured["users"]["secrets"]) == {"mlflow-admin-password", "mlflow-password"}
    assert secured["head"]["depends_on"] == {"users": {"condition": "service_completed_successfully"}}


def test_the_head_is_stopped_after_its_drivers_have_drained():
    head = services()["head"]
    assert head["command"][:2] == ["sh", "/opt/drained.sh"]
    default_drain = 30.0
    assert float(head["stop_grace_period"].removesuffix("s")) > default_drain + DRAIN.SECONDS_BESIDE_THE_DRAIN


def test_the_mark_of_a_container_is_the_image_s():
    assert [rest for word, rest in stages()["worker"] if word == "ENV" and f"{DRAIN.MARK}=1" in rest]


def test_a_driver_is_asked_to_drain_and_waited_for_and_nothing_else_is(tmp_path):
    """The folder that stands for /proc shows two processes of this test alone: other studies may run on this machine."""
    driver = (
        "import signal, sys, time; signal.signal(15, lambda *_: (time.sleep(0.3), open('drained', 'w'), sys.exit(0)))"
    )
    (tmp_path / "gradstab").write_text(f"{driver}; open('ready', 'w'); time.sleep(60)")
    processes = tmp_path / "proc"
    other = [sys.executable, "-c", "import time; time.sleep(60)", "gradstab", "status"]
    with (
        subprocess.Popen([sys.executable, "gradstab", "run", "s"], cwd=tmp_path) as running,
        subprocess.Popen(other) as beside,
    ):
        for process in (running, beside):
            (processes / str(process.pid)).mkdir(parents=True)
            for shown in ("cmdline", "ns"):
                (processes / str(process.pid) / shown).symlink_to(f"/proc/{process.pid}/{shown}")
        deadline = time.monotonic() + 60
        while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert DRAIN.drivers(processes) == [running.pid]
        with pytest.raises(SystemExit, match="must run in a container of gradstab's image"):
            DRAIN.main(processes, {})
        # another container's driver, which a container that shares the machine's processes sees too
        other_container = processes / str(running.pid) / "ns"
        other_container.unlink()
        other_container.mkdir()
        (other_container / "mnt").symlink_to("mnt:[1]")
        assert DRAIN.drivers(processes) == []
        DRAIN.main(processes, MARKED)
        assert not (tmp_path / "drained").exists()
        shutil.rmtree(other_container)
        other_container.symlink_to(f"/proc/{running.pid}/ns")
        DRAIN.main(processes, MARKED)
        assert (tmp_path / "drained").exists()
        assert running.wait(60) == 0
        assert beside.poll() is None
        beside.kill()


def test_the_command_ends_after_the_drain_and_its_exit_code_is_kept(tmp_path):
    """`drained.sh` with another program in place of the drain, which would stop other studies on this machine."""
    (tmp_path / "drain.py").write_text("open('drained', 'w')")
    script = (DOCKER / "drained.sh").read_text().replace("/opt/drain.py", "drain.py")
    assert script.count("drain.py") == 1
    path = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = "trap 'test -e drained && exit 7; exit 8' TERM; touch up; while :; do sleep 0.05; done"
    with subprocess.Popen(["sh", "-c", script, "sh", "sh", "-c", command], cwd=tmp_path, env=path) as head:
        deadline = time.monotonic() + 60
        while not (tmp_path / "up").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        head.terminate()
        assert head.wait(60) == 7


def test_credentials_become_files_that_only_their_owner_reads(tmp_path):
    (tmp_path / "database-password").write_text("a:b\\c")
    (tmp_path / "mlflow-password").write_text("geheim")
    environment = {
        "HOME": str(tmp_path),
        "GRADSTAB_SECRETS": str(tmp_path),
        "MLFLOW_USER": "ada",
        "PATH": os.environ["PATH"],
    }
    shell = ["sh", "-c", f". '{DOCKER / 'credentials.sh'}'; env"]
    done = subprocess.run(shell, env=environment, capture_output=True, text=True, check=True)
    assert (tmp_path / ".pgpass").read_text().strip() == "*:*:*:*:a\\:b\\\\c"
    credentials = configparser.ConfigParser()
    credentials.read(tmp_path / ".mlflow" / "credentials")
    assert dict(credentials["mlflow"]) == {"mlflow_tracking_username": "ada", "mlflow_tracking_password": "geheim"}
    for name in (".pgpass", ".mlflow/credentials"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert "geheim" not in done.stdout


def test_every_secret_gets_a_file_of_its_own_in_a_private_folder_and_keeps_it(tmp_path):
    folder = tmp_path / "secrets"
    old = tmp_path / ".env"
    old.write_text("# mine\nPOSTGRES_PASSWORD=from the volume\nMLFLOW_DB_PASSWORD='quoted'\nRAY_AUTH_TOKEN=\n")
    assert set(MAKE_SECRETS.make(folder, MAKE_SECRETS.written_before(old))) == set(MAKE_SECRETS.NAMES)
    given = {path.name: path.read_text() for path in folder.iterdir()}
    assert given["postgres-password"] == "from the volume"
    assert given["mlflow-db-password"] == "quoted"
    new = [value for name, value in given.items() if name not in ("postgres-password", "mlflow-db-password")]
    assert len(set(new)) == len(new) == 5
    assert all(len(value) >= 32 for value in new)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o444}
    (folder / "ray-token").unlink()
    assert MAKE_SECRETS.make(folder, MAKE_SECRETS.written_before(tmp_path / "none")) == ["ray-token"]
    again = {path.name: path.read_text() for path in folder.iterdir()}
    assert {name for name in given if given[name] != again[name]} == {"ray-token"}


def test_services_wait_for_what_they_need():
    def before(name: str) -> set[str]:
        needed = services()[name].get("depends_on", {})
        for condition in needed.values():
            assert condition["condition"] in ("service_healthy", "service_completed_successfully")
        return set(needed).union(*(before(other) for other in needed))

    assert before("mlflow") == {"postgres", "databases"}
    assert before("worker") == {"postgres", "databases", "mlflow", "head"}


def test_state_is_in_named_volumes_and_mlflow_env_is_read():
    volumes = {volume.partition(":")[0] for service in services().values() for volume in service.get("volumes", [])}
    assert volumes == set(compose("compose.yaml")["volumes"]) == {"postgres", "artifacts", "results"}
    for name in ("mlflow", "head"):
        assert services()[name]["env_file"] == ["../mlflow.env"]


def test_images_are_pinned_run_as_nobody_in_particular_and_keep_packages_below_the_source():
    arguments = dict(rest.partition("=")[::2] for word, rest in instructions() if word == "ARG")
    assert re.fullmatch(EXACT_PYTHON, arguments["PYTHON_IMAGE"])
    assert "latest" not in (DOCKER / "Dockerfile").read_text()
    for name in ("worker", "server"):
        users = [rest for word, rest in stages()[name] if word == "USER"]
        assert users == ["gradstab"]
        steps = [f"{word} {rest}" for word, rest in stages()[name]]
        packages = next(i for i, step in enumerate(steps) if "/opt/venv /opt/venv" in step)
        assert not [step for step in steps[:packages] if "pipeline" in step or "gradstab-wheel" in step]
    for name in ("worker-packages", "server-packages"):
        copied = [rest for word, rest in stages()[name] if word == "COPY"]
        assert all(re.fullmatch(r"(docker/lock-\S+ )+/build/", rest) for rest in copied), "packages, not the source"


def test_images_know_their_commit_and_a_new_one_rebuilds_nothing():
    for name, keeps in (("worker", {"ENV", "LABEL"}), ("server", {"LABEL"})):
        steps = stages()[name]
        told = steps.index(("ARG", COMMIT_VARIABLE))
        value = f"${{{COMMIT_VARIABLE}}}"
        named = {"ENV": f"{COMMIT_VARIABLE}={value}", "LABEL": f"org.opencontainers.image.revision={value}"}
        assert set(steps[told + 1 :]) == {(word, named[word]) for word in keeps}
    for name in ("head", "worker", "mlflow"):
        assert services()[name]["build"]["args"][COMMIT_VARIABLE] == f"${{{COMMIT_VARIABLE}-}}"


def test_requirements_of_an_image_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def printed(*arguments: str) -> list[str]:
        command = [sys.executable, str(DOCKER / "requirements.py"), *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()

    assert printed("cluster") == [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    server = printed("--only", "server")
    assert server == project["optional-dependencies"]["server"]
    assert {"uvloop", "mlflow[auth]"} <= {re.split("[><=]", line)[0] for line in server}


def locked(name: str) -> dict[str, str]:
    """Package -> version of a lock file, every line of which must give hashes."""
    found = {}
    for line in (DOCKER / f"lock-{name}.txt").read_text().splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r"([a-z0-9-]+)==(\S+)((?: --hash=sha256:[0-9a-f]{64})+)", line)
            assert match, f"a package needs one version and hashes: {line}"
            found[match[1]] = match[2]
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\[><=;, ]", name)[0]).lower()


def test_images_install_the_versions_that_were_tested_by_hash_from_one_index_each():
    pinned = {
        normal(name): version
        for name, _, version in (
            line.partition("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line
        )
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    worker = [*project["dependencies"], *project["optional-dependencies"]["cluster"]]
    for torch in ("cpu", "cuda"):
        versions = {**locked("worker"), **locked(f"torch-{torch}")}
        assert {normal(line) for line in worker} <= set(versions)
        for name, version in versions.items():
            # what comes with CUDA alone is in no environment of the tests
            if not (torch == "cuda" and LOCK.GPU.fullmatch(name) and name != "torch"):
                assert version.partition("+")[0] == pinned[name], name
    assert not [name for name in locked("worker") if LOCK.GPU.fullmatch(name)]
    server = project["optional-dependencies"]["server"]
    assert {normal(line) for line in server} <= set(locked("server"))
    assert all(version == pinned[name] for name, version in locked("server").items())
    assert set(locked("build")) == {"setuptools"}
    settings = dict(stages()["build"])["ENV"]
    assert {"PIP_REQUIRE_HASHES=1", "PIP_ONLY_BINARY=:all:", "PIP_NO_DEPS=1"} <= set(settings.split())
    assert "--extra-index-url" not in (DOCKER / "Dockerfile").read_text()


def test_cluster_launcher_file_fits_rays_schema():
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    config = yaml.safe_load((DOCKER / "cluster.yaml").read_text())
    jsonschema.validate(config, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**config, "worker_nodes_": {}}, schema)
    for command in [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]:
        assert "ray stop" in command or "--disable-usage-stats" in command
