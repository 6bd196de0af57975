"""Which files a study's code consists of, and what of them changes its hash."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from gradstab.user_code.code import UserCode, collect_code
from gradstab.user_code.failures import CodeError
from gradstab.user_code.syntax import code_hash
from tests.user_code.files import write

STUDY = '''
"""How deep?"""
import math
from blocks import Block
from gradstab import Study

def build(depth):
    """A stack."""
    return forward(depth)

def forward(depth):
    return Block(depth + 1)

STUDY = Study(name="mine", question="How deep?", budget={"trials": 400})
'''
BLOCKS = "class Block:\n    def __init__(self, depth): self.depth = depth\n"


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path, {"my_gpt.py": STUDY, "blocks.py": BLOCKS})


def hash_of(folder: Path, **changed: str) -> str:
    write(folder, {f"{name}.py": content for name, content in changed.items()})
    return collect_code(["my_gpt.py:build"], folder / "my_gpt.py").digest


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("400", "800"),
        ('question="How deep?"', 'question="How deep can it be?"'),
        ("def build", "# a comment\n\n\ndef build"),
        ('"""A stack."""', '"""A stack of blocks."""'),
        ('    """A stack."""\n', ""),
        ("depth + 1", "depth  +  (1)"),
        ("STUDY = Study", "STUDY: Study = Study"),
    ],
)
def test_what_no_trial_runs_is_no_part_of_the_code_hash(folder, before, after):
    assert before in STUDY
    assert hash_of(folder) == hash_of(folder, my_gpt=STUDY.replace(before, after))


def test_a_block_for_scripts_is_no_part_of_the_code_hash(folder):
    assert hash_of(folder) == hash_of(folder, my_gpt=STUDY + 'if __name__ == "__main__":\n    print(STUDY)\n')


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("depth + 1", "depth + 2"),
        ("depth + 1", "depth - 1"),
        ("depth + 1", "depth + 1.0"),
        ("def build(depth)", "def build(depth=3)"),
    ],
)
def test_one_character_in_a_function_changes_the_code_hash(folder, before, after):
    assert hash_of(folder) != hash_of(folder, my_gpt=STUDY.replace(before, after))


def test_a_sibling_changes_the_code_hash(folder):
    assert hash_of(folder) != hash_of(folder, blocks=BLOCKS.replace("= depth", "= 2 * depth"))


def test_a_declaration_that_the_code_reads_is_part_of_the_code(folder):
    reading = STUDY + "\ndef size(): return STUDY.budget\n"
    assert hash_of(folder, my_gpt=reading) != hash_of(folder, my_gpt=reading.replace("400", "800"))
    write(
        folder,
        {"my_gpt.py": STUDY, "blocks.py": "def late():\n    from my_gpt import STUDY\n    return STUDY\n" + BLOCKS},
    )
    assert hash_of(folder) != hash_of(folder, my_gpt=STUDY.replace("400", "800"))


def test_the_code_hash_does_not_depend_on_how_a_version_of_python_writes_trees():
    """A record of one machine is compared with the code on another: this figure must never change."""
    source = b"@d\nclass A(B):\n    x: int = 1\n    async def f(self, *a, k=None, **b): return f'{a!r:>3}' + 'e' if k else ...\n"
    assert code_hash({"a.py": source}, {"timm": "1.0"}) == EXPECTED


EXPECTED = "af568f2f2340f933603c2aacc3a55b8a2f6d18190933ee4cf951b45dd56e6d9d"  # of Python 3.11, 3.12 and 3.13


def test_files_are_found_from_import_statements(tmp_path):
    folder = write(tmp_path, {
        "my-gpt.py": "import one, json\nfrom two import x\ndef build():\n    from three.four import five\n",
        "one.py": "from typing import TYPE_CHECKING\nimport two\nif TYPE_CHECKING:\n    import for_types\n",
        "two.py": "try:\n    import missing\nexcept ImportError:\n    import one\n",
        "three/__init__.py": "from . import six\nfrom .seven import *\n",
        "three/four/five.py": "from ..six import y\nfrom importlib import import_module\nimport_module('.beside', __package__)\n",
        "three/four/beside.py": "", "three/six.py": "", "three/seven.py": "from . import x", "three/unused.py": "",
        "for_types.py": "", "other.py": "", "json.py": "", "numpy.py": "", "gradstab.py": "",
    })  # fmt: skip
    code = collect_code(["my-gpt.py:build", "json:dumps"], folder / "my-gpt.py")
    assert list(code.sources) == [
        "my-gpt.py", "one.py", "three/__init__.py", "three/four/beside.py", "three/four/five.py", "three/seven.py",
        "three/six.py", "two.py",
    ]  # fmt: skip
    assert (code.entry, code.packages) == ("my-gpt.py", {})


def test_a_sibling_alone_needs_no_study_file(tmp_path, monkeypatch):
    folder = write(tmp_path, {"study.py": "1 +", "blocks.py": "def build(): return 5"})
    code = collect_code(["blocks:build"], folder / "study.py")
    assert (code.entry, list(code.sources), code.load("blocks:build")()) == (None, ["blocks.py"], 5)
    monkeypatch.chdir(folder)
    assert collect_code(["blocks:build"], None) == code, "without a study file, siblings lie in the working folder"


def test_an_installed_package_is_known_by_name_and_version(tmp_path):
    code = collect_code(["hypothesis.strategies:lists", "torch:relu"], tmp_path / "study.py")
    assert (code.entry, code.sources) == (None, {})
    assert code.packages == {"hypothesis": metadata.version("hypothesis")}
    assert code.load("hypothesis.strategies:lists") is sys.modules["hypothesis.strategies"].lists


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "my_gpt.py must be readable, but: No such file or directory"),
        ({"my_gpt.py": "x = 1\ndef build(:\n"}, "my_gpt.py fails in line 2: SyntaxError: invalid syntax"),
        ({"my_gpt.py": b"x = '\xe9'\n"}, "my_gpt.py must be UTF-8 text, but: invalid or missing encoding declaration"),
        ({"my_gpt.py": b"\n\nx = '\xe9'\n"}, "my_gpt.py must be UTF-8 text, but: invalid continuation byte at byte 7"),
        ({"my_gpt.py": b"# coding: nonsense\n"}, "my_gpt.py must be UTF-8 text, but: unknown encoding: nonsense"),
        ({"my_gpt.py": b"x = 1\x00"}, "null bytes"),
        ({"my_gpt.py": "x = " + "(" * 500}, "my_gpt.py fails in line 1: SyntaxError: too many nested parentheses"),
        ({"my_gpt.py": "import big", "big.py": "#" * (2**20 + 1)}, "at most 1 MiB, got 1048577 bytes in big.py: keep data in"),
        ({"my_gpt.py": "import pkg.broken", "pkg/broken.py": "if"}, "pkg/broken.py fails in line 1: SyntaxError"),
        ({"my_gpt.py": "import fast", "fast.abi3.so": b""}, "it is the compiled file fast.abi3.so: put it into a package"),
        ({"my_gpt.py": "import fast", "fast.pyc": b""}, "it is the compiled file fast.pyc: put it into a package"),
        ({"my_gpt.py": "\nimport importlib\nimportlib.import_module('one')", "one.py": ""},
         "my_gpt.py imports its sibling one by import_module in line 3: write import one"),
    ],
)  # fmt: skip
def test_what_cannot_travel_is_refused_in_a_sentence(tmp_path, files, sentence):
    write(tmp_path, files)
    with pytest.raises(CodeError) as caught:
        collect_code(["my_gpt.py:build"], tmp_path / "my_gpt.py")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("other.py:build", "other.py must be the study's own file, but the study's file is my_gpt.py"),
        ("nowhere.at_all:build", "nowhere.at_all must be an installed module or a file in"),
        ("no_family", "a model must be one of transformer, or be written module:build, got 'no_family'"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_in_a_sentence(folder, families, name, sentence):
    with pytest.raises(CodeError, match=sentence):
        collect_code([name], folder / "my_gpt.py")
    with pytest.raises(CodeError):
        collect_code(["my_gpt.py:build"], folder / "my_gpt.py").load(name)


def test_deep_expressions_are_read(tmp_path):
    write(tmp_path, {"my_gpt.py": "x = " + " + ".join(["1"] * 600)})
    assert len(collect_code(["my_gpt.py:x"], tmp_path / "my_gpt.py").digest) == 64


def test_a_package_that_is_installed_to_be_edited_counts_with_its_text(folder, tmp_path, monkeypatch):
    project = write(tmp_path / "project", {
        "loose_nets/__init__.py": "", "loose_nets/deep.py": "from .parts import X\nimport loose_beside\n",
        "loose_nets/parts.py": "X = 1\n", "loose_nets/unused.py": "", "loose_beside.py": "Y = 1\n",
    })  # fmt: skip
    monkeypatch.syspath_prepend(str(project))
    write(folder, {"blocks.py": "from loose_nets.deep import X\n" + BLOCKS})

    def known(name: str, **changed: str) -> UserCode:
        write(project, {f"{path.replace('__', '/')}.py": text for path, text in changed.items()})
        return collect_code([name], folder / "my_gpt.py")

    for name in ("my_gpt.py:build", "loose_nets.deep:build"):
        before = known(name, loose_nets__parts="X = 1\n", loose_beside="Y = 1\n")
        assert list(before.packages) == ["loose_nets"]
        assert known(name, loose_nets__parts="X = 1  # one\n", loose_nets__unused="Z = 1\n").digest == before.digest
        assert known(name, loose_nets__parts="X = 2\n").digest != before.digest
        assert known(name, loose_nets__parts="X = 1\n", loose_beside="Y = 2\n").digest != before.digest


def test_a_study_file_is_known_by_the_file_that_a_link_leads_to(folder, tmp_path):
    link = tmp_path / "elsewhere" / "linked.py"
    link.parent.mkdir()
    link.symlink_to(folder / "my_gpt.py")
    assert collect_code(["my_gpt.py:build"], link) == collect_code(["my_gpt.py:build"], folder / "my_gpt.py")
