"""Child processes run this package's own modules, whatever surrounds them, and know of their parent by a pipe."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import gradstab
from gradstab.system import child_process
from gradstab.system.child_process import ParentPipe

PACKAGE = Path(gradstab.__file__).parent
# a parent that knows of a package's folder by itself, as a notebook may, and asks a child where it has the package from
PARENT = """
import sys
sys.path.insert(0, sys.argv[1])
from gradstab.system import child_process
del sys.path[0]
done = child_process.run("gradstab.where", "")
print(done.stdout, done.stderr)
sys.exit(done.returncode)
"""


@pytest.fixture
def users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with packages and a module of the user's own, which bear the names of ours and of libraries."""
    folder = tmp_path / "project"
    for name in ("gradstab", "pipeline", "mlflow"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(f"raise SystemExit('the user's own {name}')")
    (folder / "runpy.py").write_text("raise SystemExit('not the standard library')")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with another copy of this package, as far as it is needed here."""
    package = tmp_path / "copy" / "gradstab"
    shutil.copytree(PACKAGE / "system", package / "system")
    for name in ("__init__.py", "errors.py"):
        shutil.copy(PACKAGE / name, package)
    (package / "where.py").write_text(
        "import warnings\nimport gradstab\nwarnings.warn('a library is old')\nprint('child of', gradstab.__file__)\n"
    )
    return package.parent


@pytest.mark.parametrize("flags", [[], ["-W", "error", "-OO"]], ids=["plain", "strict"])
@pytest.mark.parametrize("path", ["", "the user's"])
def test_a_child_has_the_package_from_where_its_parent_has_it(
    users_folder: Path, copy: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], path: str
) -> None:
    if path:
        (users_folder / "runpy.py").unlink()  # on PYTHONPATH it would stand in for the library in every Python
    monkeypatch.setenv("PYTHONPATH", str(users_folder) if path else "")
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    command = [sys.executable, "-P", *flags, "-c", PARENT, str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"child of {copy / 'gradstab' / '__init__.py'}" in done.stdout


def test_what_a_child_starts_does_not_look_into_the_current_folder_either(users_folder: Path) -> None:
    with (users_folder / "log").open("w+b") as log:
        command = [sys.executable, "-c", "import runpy; import pipeline"]
        with child_process.start("gradstab.system.child_server", command, output=log) as child:
            assert child.wait(60) == 1
        log.seek(0)
        assert b"No module named 'pipeline'" in log.read()


def test_the_package_folder_does_not_stay_on_the_path(tmp_path: Path) -> None:
    """What else lies beside an installed package (all of site-packages) must not come before the standard library."""
    log = tmp_path / "log"
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "sys.argv = ['-', 'gradstab.system.failpoints']\n"
        "from gradstab.system import child_process\n"
        "before = list(sys.path)\n"
        "child_process._run_module()\n"
        "assert sys.path == before, sys.path\n"
    )
    with log.open("wb") as output:
        env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
        assert subprocess.run([sys.executable, str(script)], stderr=output, check=False, env=env).returncode == 0, (
            log.read_text()
        )


def pipe(said: bytes) -> int:
    reading, writing = os.pipe()
    os.write(writing, said)
    os.close(writing)
    return reading


def test_a_parent_that_dies_without_a_word_is_told_from_one_that_asked_to_finish() -> None:
    for said, patience, deaths in (
        (b"", None, 1),
        (b"finish 2.5\n", 2.5, 0),
        (b"finish\n", 0.0, 0),
        (b"hm\n", None, 1),
    ):
        died: list[int] = []
        parent = ParentPipe(on_death=lambda died=died: died.append(1))  # type: ignore[misc]
        parent._read(pipe(said))
        assert (parent.patience, parent.gone, parent.closing, len(died)) == (patience, True, True, deaths), said


def test_waiting_ends_when_the_parent_says_something() -> None:
    parent = ParentPipe()
    threading.Timer(0.05, parent.finish, [3.0]).start()
    parent.wait(400.0)  # longer than a test may take
    assert parent.patience == 3.0
    assert not parent.gone


def test_a_child_that_has_ended_is_asked_to_finish_without_an_error(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        child = child_process.start("gradstab.system.child_server", ["true"], output=log)
        assert child.wait(60) == 0
        child_process.ask_to_finish(child, 1.0)
