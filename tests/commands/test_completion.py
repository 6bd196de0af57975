"""What the shell completes: studies, study files, axes and their values; also where bash cuts a word at `=`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.planted import plant


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("completed")
    plant(root / "results", trials=1, name="planted")
    plant(root / "results", trials=1, name="other")
    (root / "plan.py").touch()
    (root / "sub").mkdir()
    (root / "sub" / "deep.yaml").touch()
    (root / "notes.txt").touch()
    return root


def completed(root: Path, line: str, shell: str = "bash") -> list[str]:
    """What the shell is offered for the last word of a line; the words are cut as bash cuts them."""
    words = line.replace("=", " = ").split(" ") if shell == "bash" else line.split(" ")
    words = [word for word in words[:-1] if word] + [words[-1]]
    environment = {**os.environ, "GRADSTAB_RESULTS": str(root / "results"), "_GRADSTAB_COMPLETE": f"{shell}_complete"}
    environment |= {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    command = [sys.executable, "-c", "from gradstab.cli import main; main()"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line]
    return [line.partition(",")[2] for line in lines] if shell == "bash" else lines[1::3]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("gradstab run ", ["other", "planted", "plan.py", "results/", "sub/"]),
        ("gradstab status pl", ["planted", "plan.py"]),
        ("gradstab check sub/", ["sub/deep.yaml"]),
        ("gradstab region planted --at ", ["init_scale=", "depth=", "activation="]),
        ("gradstab region planted --at de", ["depth="]),
        ("gradstab region planted --at activation=", ["relu", "tanh"]),
        ("gradstab region planted --at activation=re", ["relu"]),
        ("gradstab region planted --at depth=4 --at activation=t", ["tanh"]),
        ("gradstab region planted --at depth=", ["2", "30"]),
        ("gradstab region planted --criterion r", ["ratio_band=", "responses="]),
        ("gradstab theory --activation si", ["sigmoid", "silu"]),
        ("gradstab region nothing --at ", []),
        ("gradstab recommend planted --at de", ["depth="]),
        ("gradstab recommend planted --largest ", ["init_scale", "depth"]),
        ("gradstab reg", ["region"]),
    ],
)
def test_bash_is_offered_what_fits(root, line, offered):
    assert completed(root, line) == offered


def test_other_shells_keep_the_word_whole(root):
    assert completed(root, "gradstab region planted --at activation=r", "zsh") == ["activation=relu"]
