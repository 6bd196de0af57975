"""What the shell completes: studies, study files, axes and their values; also where bash cuts a word at `=`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradstab.cli import main
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


def asking(root: Path, words: list[str], shell: str) -> dict[str, str]:
    """What a shell sets to ask for the last word of a line."""
    words = [word for word in words[:-1] if word] + [words[-1]]
    results, asked = str(root / "results"), {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    return {"GRADSTAB_RESULTS": results, "_GRADSTAB_COMPLETE": f"{shell}_complete", **asked}


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
def test_bash_is_offered_what_fits(root, line, offered, monkeypatch, capsys):
    for name, value in asking(root, line.replace("=", " = ").split(" "), "bash").items():  # so bash cuts them
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(root)
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr()
    assert ended.value.code == 0, shown.err
    assert [line.partition(",")[2] for line in shown.out.splitlines() if line] == offered


def test_other_shells_keep_the_word_whole(root):
    """In a process of its own, as a shell asks."""
    environment = {**os.environ, **asking(root, ["gradstab", "region", "planted", "--at", "activation=r"], "zsh")}
    command = [sys.executable, "-c", "from gradstab.cli import main; main()"]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line][1::3] == ["activation=relu"]
