"""The import table as data: which room may import which, no cycles, files of one sitting, and the closed verb list."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pipeline" / "gradstab"

# A room imports from lower floors only; rooms of one floor never import each other.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "__init__"}),
    frozenset({"system"}),
    frozenset({"activations", "cli", "families", "user_code"}),
    frozenset({"__main__", "study"}),
    frozenset({"display", "record", "regression"}),
    frozenset({"theory", "stability"}),
    frozenset({"probing"}),
    frozenset({"figures", "loop", "sampling", "tracking"}),
    frozenset({"execution", "search", "training"}),
    frozenset({"results"}),
    frozenset({"module_probe", "report", "watching"}),
    frozenset({"session"}),
    frozenset({"commands"}),
)

# third-party packages that a room may import; the standard library is always allowed
THIRD_PARTY: dict[str, frozenset[str]] = {
    "activations": frozenset({"numpy", "scipy", "torch"}),
    "cli": frozenset({"click"}),
    "commands": frozenset({"click", "yaml"}),
    "display": frozenset({"jinja2", "numpy"}),
    "execution": frozenset({"ray"}),
    "families": frozenset({"torch"}),
    "figures": frozenset({"PIL", "contourpy", "matplotlib", "numpy", "scipy"}),
    "loop": frozenset({"platformdirs"}),
    "probing": frozenset({"numpy", "scipy", "torch"}),
    "record": frozenset({"numpy", "pydantic"}),
    "regression": frozenset({"numpy", "scipy", "threadpoolctl"}),
    "report": frozenset({"numpy"}),
    "results": frozenset({"numpy", "pandas", "platformdirs", "pydantic"}),
    "sampling": frozenset({"numpy", "scipy"}),
    "search": frozenset({"numpy", "optuna", "psycopg", "scipy", "sqlalchemy"}),
    "session": frozenset({"psutil", "rich"}),
    "stability": frozenset({"numpy", "scipy"}),
    "study": frozenset({"dotenv", "numpy", "platformdirs", "pydantic", "pydantic_core", "yaml"}),
    "theory": frozenset({"numpy", "scipy"}),
    "tracking": frozenset({"PIL", "mlflow", "numpy", "pydantic", "requests", "sqlalchemy"}),
    "training": frozenset({"numpy", "psutil", "sklearn", "threadpoolctl", "torch"}),
    "watching": frozenset({"numpy", "torch"}),
}
HEAVY = frozenset({"torch", "ray", "optuna", "mlflow", "pandas", "matplotlib", "sklearn"})
# who may ask mean-field theory: its unit of init scale, and what draws it beside measurements
ASKS_THEORY = frozenset({"commands", "figures", "loop", "report", "session"})
MOST_THINGS = 28  # in the package's folder: a stranger must be able to say what each is
MOST_LINES = 320


@cache
def module_files() -> tuple[Path, ...]:
    return tuple(sorted(PACKAGE.rglob("*.py")))


@cache
def module_names() -> frozenset[str]:
    """Full names of this package's modules."""
    return frozenset(
        ".".join(["gradstab", *path.relative_to(PACKAGE).with_suffix("").parts]) for path in module_files()
    )


def label(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def floor_of(room: str) -> int:
    found = [floor for floor, rooms in enumerate(FLOORS) if room in rooms]
    assert len(found) == 1, f"{room} must stand on one floor of FLOORS, and stands on {len(found)}"
    return found[0]


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names that a module imports when it runs, inside functions too; not those for type checkers alone."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{label(path)}: relative imports are not used here"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def modules_of(path: Path) -> set[str]:
    """Modules of this package that a module imports."""
    return set(imports(path) & module_names())


def test_every_thing_in_the_package_stands_on_a_floor():
    things = {
        path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")
    }
    known = frozenset().union(*FLOORS)
    assert things == known, f"FLOORS must name what lies in the package: {sorted(things ^ known)} is in one only"
    assert len(things) <= MOST_THINGS, f"{len(things)} things in the package; at most {MOST_THINGS} can be taken in"


@pytest.mark.parametrize("path", module_files(), ids=label)
def test_module_imports_only_from_lower_floors(path):
    room = room_of(path)
    for name in modules_of(path):
        other = name.split(".")[1]
        if other != room:
            allowed = floor_of(other) < floor_of(room)
            assert allowed, (
                f"{label(path)} stands on floor {floor_of(room)} and imports {name}, which stands on floor {floor_of(other)}"
            )


@pytest.mark.parametrize("path", module_files(), ids=label)
def test_module_imports_only_its_rooms_packages(path):
    for name in imports(path):
        top = name.partition(".")[0]
        if top and top != "gradstab" and top not in sys.stdlib_module_names:
            owners = sorted(room for room, packages in THIRD_PARTY.items() if top in packages)
            assert top in THIRD_PARTY.get(room_of(path), ()), f"{label(path)} imports {top}; only {owners} may"


def test_the_import_table_names_nothing_that_is_not_used():
    used = {(room_of(path), name.partition(".")[0]) for path in module_files() for name in imports(path)}
    idle = {(room, package) for room, packages in THIRD_PARTY.items() for package in packages} - used
    assert not idle, f"THIRD_PARTY allows what nobody imports: {sorted(idle)}"


def test_each_heavy_package_has_one_room():
    for package in HEAVY:
        owners = {owner for owner, packages in THIRD_PARTY.items() if package in packages}
        owners -= {"activations"}  # all of an activation is in one file; it imports torch only when a network trains
        # packs of our own networks, a user's module as it is, families that ship, a user's own loop
        most = 4 if package == "torch" else 1
        assert len(owners) <= most, f"{package} may be imported by {owners}; {most} may own it"


def test_theory_can_be_left_out():
    asking = {
        room_of(path) for path in module_files() if any(n.startswith("gradstab.theory") for n in modules_of(path))
    }
    assert asking - {"theory"} <= ASKS_THEORY, f"{sorted(asking - ASKS_THEORY)} must not depend on mean-field theory"


def test_the_declaration_imports_no_science():
    science = {"theory", "regression", "stability", "sampling", "loop", "results", "report"}
    for path in module_files():
        if room_of(path) == "study":
            found = {name for name in imports(path) if name.startswith("gradstab.") and name.split(".")[1] in science}
            assert not found, f"{label(path)} imports {sorted(found)}; a study must be declared without any science"


def test_no_import_cycles():
    graph = {
        ".".join(["gradstab", *path.relative_to(PACKAGE).with_suffix("").parts]): modules_of(path)
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


@pytest.mark.parametrize("path", module_files(), ids=label)
def test_file_is_read_in_one_sitting(path):
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_LINES, f"{label(path)} has {lines} lines; at most {MOST_LINES} are read in one sitting"


def test_room_inits_hold_a_docstring_only():
    for init in PACKAGE.glob("*/__init__.py"):
        body = ast.parse(init.read_text()).body
        assert len(body) == 1, f"{init} must hold a docstring and nothing else"


def test_verb_list_is_closed():
    from gradstab.cli import VERBS

    known = {
        "check", "run", "submit", "status", "list", "ui", "sync", "theory", "report", "region", "recommend", "probe",
        "doctor", "remove",
    }  # fmt: skip
    assert set(VERBS) == known, "a verb is added on purpose: to this list, the README and the changelog"


def test_the_table_of_verbs_says_what_each_says_of_itself():
    import click

    from gradstab.cli import VERBS, cli

    for verb, (_, _, line) in VERBS.items():
        command = cli.get_command(click.Context(cli), verb)
        assert command is not None
        assert command.get_short_help_str(limit=200) == line, f"gradstab {verb}"


def test_mlflow_env_holds_only_commented_mlflow_names():
    lines = (PACKAGE.parent.parent / "mlflow.env").read_text().splitlines()
    previous = ""
    for line in lines:
        if line and not line.startswith("#"):
            name = line.partition("=")[0]
            assert name.startswith("MLFLOW_"), f"{name} is no MLflow setting"
            assert name != "MLFLOW_TRACKING_URI", "the tracking URI is set by study, environment or compose"
            assert not any(word in name for word in ("PASSWORD", "TOKEN", "USERNAME", "SECRET")), f"{name} is a secret"
            assert previous.startswith("#"), f"{name} needs a comment above it"
        previous = line
