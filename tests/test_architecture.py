"""The import table as data: which room may import what, no cycles, files of one sitting, and the closed verb list."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pipeline" / "gradstab"

FLOORS = {
    0: {
        "space", "recipe", "trajectory", "packing", "data_spec", "sampler_spec", "errors", "kill_points", "leash", "durable",
        "file_lock", "storage_url",
    },
    1: {"stability"},
    2: {
        "ports", "trial", "segments", "attempts", "study", "study_faults", "study_file", "study_folder", "settings",
        "runner", "recovery", "speeds", "slot_board", "calibration", "estimate", "tracking_job", "plain_yaml",
        "audit",
    },
    3: {"training", "search", "execution", "tracking", "report"},
    4: {
        "cli", "verbs", "session", "driving", "lost_folder", "doctor", "removal", "loading", "report_loop", "report_process", "terminal",
        "browse", "lookup", "provenance", "summary", "submission", "own_module", "__main__",
    },
}  # fmt: skip

# third-party packages a module or room may import; the standard library is always allowed
THIRD_PARTY = {
    "training": {"torch", "numpy", "sklearn"},
    "search": {"optuna", "numpy", "scipy", "sqlalchemy", "psycopg"},
    "execution": {"ray"},
    "tracking": {"mlflow", "numpy", "pydantic", "sqlalchemy", "requests", "PIL"},
    "report": {"pandas", "numpy", "matplotlib", "pydantic"},
    "stability": {"numpy", "scipy", "pydantic", "threadpoolctl"},
    "space": {"pydantic"},
    "recipe": {"pydantic"},
    "trajectory": {"numpy"},
    "data_spec": {"pydantic", "numpy"},
    "sampler_spec": {"pydantic"},
    "segments": {"numpy"},
    "study": {"pydantic"},
    "study_faults": {"pydantic"},
    "study_file": {"pydantic"},
    "plain_yaml": {"yaml"},
    "tracking_job": {"pydantic"},
    "settings": {"platformdirs", "dotenv"},
    "loading": {"platformdirs"},
    "calibration": {"platformdirs"},
    "cli": {"click"},
    "verbs": {"click", "yaml"},
    "terminal": {"rich"},
    "summary": {"click"},
    "submission": {"yaml"},
    "session": {"psutil"},
}
HEAVY = {"torch", "ray", "optuna", "mlflow", "pandas", "matplotlib", "sklearn"}
VERBS = {"check", "run", "submit", "status", "list", "ui", "sync", "theory", "report", "region", "doctor", "remove"}


def module_files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor_of(room: str) -> int:
    return next(floor for floor, rooms in FLOORS.items() if room in rooms)


def imports(path: Path, *, at_top_only: bool = False) -> set[str]:
    """Dotted names that a module imports when it runs (not those for type checkers alone)."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    nodes = tree.body if at_top_only else list(ast.walk(tree))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("path", module_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_imports_only_what_its_floor_may(path):
    import sys

    room = room_of(path)
    floor = floor_of(room)
    for name in imports(path):
        top, *rest = name.split(".")
        if top == "pipeline" and rest:
            other = rest[0]
            assert floor_of(other) <= floor, f"{path.name} (floor {floor}) imports {name} from floor {floor_of(other)}"
            siblings = floor == 3 and floor_of(other) == 3 and other != room
            assert not siblings, f"{path.name} in {room}/ imports its sibling {other}/"
        elif top != "pipeline" and top not in sys.stdlib_module_names:
            owners = [owner for owner, packages in THIRD_PARTY.items() if top in packages]
            assert top in THIRD_PARTY.get(room, set()), f"{path.name} imports {top}; only {owners} may"


def test_each_heavy_package_has_one_room():
    for package in HEAVY:
        owners = {owner for owner, packages in THIRD_PARTY.items() if package in packages}
        assert len(owners) == 1, f"{package} may be imported by {owners}; one room must own it"


def test_no_import_cycles():
    graph = {
        ".".join(["pipeline", *path.relative_to(PACKAGE).with_suffix("").parts]): {
            name for name in imports(path, at_top_only=True) if name.startswith("pipeline.")
        }
        for path in module_files()
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"import cycle: {' -> '.join([*trail[trail.index(module) :], module])}"
        if module not in done:
            for other in graph.get(module, ()):
                visit(other, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@pytest.mark.parametrize("path", module_files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file_is_read_in_one_sitting(path):
    lines = len(path.read_text().splitlines())
    assert lines <= 360, f"{path.name} has {lines} lines; about 300 are read in one sitting"


def test_room_inits_hold_a_docstring_only():
    for init in PACKAGE.glob("*/__init__.py"):
        body = ast.parse(init.read_text()).body
        assert len(body) == 1, f"{init} must hold a docstring and nothing else"


def test_verb_list_is_closed():
    from gradstab.cli import cli

    assert set(cli.commands) == VERBS, "a verb is added on purpose: to this list, the README and the changelog"


def test_mlflow_env_holds_only_commented_mlflow_names():
    lines = (PACKAGE.parent / "mlflow.env").read_text().splitlines()
    previous = ""
    for line in lines:
        if line and not line.startswith("#"):
            name = line.partition("=")[0]
            assert name.startswith("MLFLOW_"), f"{name} is no MLflow setting"
            assert name != "MLFLOW_TRACKING_URI", "the tracking URI is set by study, environment or compose"
            assert not any(word in name for word in ("PASSWORD", "TOKEN", "USERNAME", "SECRET")), f"{name} is a secret"
            assert previous.startswith("#"), f"{name} needs a comment above it"
        previous = line
