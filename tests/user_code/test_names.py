"""How functions are named: found again under the name, or refused with a sentence that says what to do."""

from __future__ import annotations

import functools
import json
import runpy
from collections.abc import Callable

import pytest

from gradstab.user_code.code import collect_code
from gradstab.user_code.failures import CodeError
from gradstab.user_code.names import name_of
from tests.user_code.files import python, write

STUDY = """
import functools
from gradstab.user_code.names import name_of
from blocks import Block
import blocks

def build(): return "built"
def plain(): return 1
class Net:
    def __init__(self): pass
    @classmethod
    def small(cls): return cls()
class Empty: pass
@functools.lru_cache
def cached(): return 2
def logged(function):
    @functools.wraps(function)
    def wrapper(): return function()
    return wrapper
@logged
def wrapped(): return 3
NAMES = [name_of(found) for found in (build, Net, Net.small, Empty, cached, wrapped, Block, blocks.make)]
"""


def test_functions_of_a_study_file_are_named_by_the_file_and_found_under_the_name(tmp_path, monkeypatch):
    folder = write(tmp_path, {"my-gpt.py": STUDY, "blocks.py": "class Block: pass\ndef make(): return 4\n"})
    monkeypatch.syspath_prepend(str(folder))
    names = runpy.run_path(str(folder / "my-gpt.py"))["NAMES"]
    assert names == [
        *("my-gpt.py:build", "my-gpt.py:Net", "my-gpt.py:Net.small", "my-gpt.py:Empty", "my-gpt.py:cached"),
        *("my-gpt.py:wrapped", "blocks:Block", "blocks:make"),
    ]
    code = collect_code(names, folder / "my-gpt.py")
    loaded = {name: code.load(name) for name in names}
    assert (loaded["my-gpt.py:build"](), loaded["my-gpt.py:cached"](), loaded["my-gpt.py:wrapped"]()) == ("built", 2, 3)
    assert type(loaded["my-gpt.py:Net.small"]()) is loaded["my-gpt.py:Net"]
    assert [name_of(loaded[name]) for name in names] == names, "named alike where a worker has loaded them"


def test_a_function_keeps_its_name_after_the_file_was_run(tmp_path):
    alone = STUDY.partition("NAMES")[0].replace("from blocks import Block\nimport blocks\n", "")
    found = runpy.run_path(str(write(tmp_path, {"mine.py": alone}) / "mine.py"))
    assert name_of(found["build"]) == "mine.py:build"
    assert name_of(found["Net"]) == "mine.py:Net"
    assert name_of(found["Empty"], tmp_path / "mine.py") == "mine.py:Empty", "a class without methods knows no file"


def test_a_script_is_named_by_its_file(tmp_path):
    write(
        tmp_path,
        {"script.py": "from gradstab.user_code.names import name_of\ndef build(): pass\nprint(name_of(build))\n"},
    )
    assert python("import runpy; runpy.run_path('script.py', run_name='__main__')", tmp_path) == "script.py:build\n"


def test_a_function_of_an_installed_module_is_named_by_the_module():
    assert name_of(json.dumps) == "json:dumps"


def nested() -> Callable[[], None]:
    def build() -> None:
        return None

    return build


def first():
    return 1


kept = first


def first():  # type: ignore[no-redef]
    return 2


class Called:
    def __call__(self):
        return None

    def build(self):
        return None


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda: None, "got a lambda: define it with def"),
        (nested(), "got build, which is made inside nested: define it with def outside of any function"),
        (functools.partial(sorted, [1]), "got a partial of sorted: define a function that calls sorted with these arguments"),
        (Called().build, "got the method build of an object of Called: define a function that makes the object and"),
        (Called(), "got an object of Called: give its class, or a function that makes one"),
        (3, "got int '3': give the function itself"),
        (None, "got NoneType 'None': give the function itself"),
        (kept, "got another first than the last one in tests.user_code.test_names: give each a name of its own"),
    ],
)  # fmt: skip
def test_what_no_worker_could_find_is_refused(function, sentence):
    with pytest.raises(CodeError) as caught:
        name_of(function, what="loss")
    assert str(caught.value).startswith("loss must be a function at the top level of a file, ")
    assert sentence in str(caught.value)


def test_a_function_of_a_prompt_is_refused(tmp_path):
    program = (
        "from gradstab.user_code.names import name_of\ndef build(): pass\n"
        "try:\n    name_of(build)\nexcept Exception as error:\n    print(error)"
    )
    assert "got build of a notebook or a prompt: write it into a .py file" in python(program, tmp_path)
