"""Loading code where there is no study folder: in fresh processes, beside strangers of the same names."""

from __future__ import annotations

import inspect
import linecache
import pickle
import sys
import threading
from types import ModuleType

import pytest

from gradstab.user_code.code import collect_code
from gradstab.user_code.failures import CodeError
from gradstab.user_code.tracebacks import code_errors
from tests.user_code.files import python, write

STUDY = """
import sys
import data, pipeline
import deep.down.below as below
from deep import down
from utils import NAME

def build():
    from late import LATE
    import deep.down.beside
    return [NAME, data.NAME, pipeline.NAME, below.NAME, down.below.NAME, LATE, deep.down.beside.NAME]

class Net:
    \"\"\"A class.\"\"\"

STUDY = 1 / 0
if __name__ == "__main__":
    sys.exit("run as a script")
"""


def siblings(name: str) -> dict[str, str]:
    module = f"NAME = {name!r}\n"
    return {
        "utils.py": module, "data.py": module, "pipeline.py": module, "late.py": f"LATE = {name!r}\n",
        "deep/__init__.py": "", "deep/down/below.py": "from .beside import NAME\n", "deep/down/beside.py": "from utils import NAME\n",
    }  # fmt: skip


@pytest.fixture
def two(tmp_path):
    """The pickled codes of two studies whose siblings have the same names, and whose folders are gone."""
    codes = []
    for name in ("one", "two"):
        folder = write(tmp_path / name, {"my-gpt.py": STUDY, **siblings(name)})
        codes.append(collect_code(["my-gpt.py:build", "my-gpt.py:Net"], folder / "my-gpt.py"))
        folder.rename(tmp_path / f"{name}, moved")
    elsewhere = tmp_path / "elsewhere"
    write(elsewhere, {"codes.pickle": pickle.dumps(codes)})
    return elsewhere


LOAD = "import pickle; one, two = pickle.load(open('codes.pickle', 'rb')); name = 'my-gpt.py:build'\n"


def test_two_studies_with_siblings_of_the_same_names_are_loaded_in_one_fresh_process(two):
    said = python(LOAD + "print(one.load(name)() == ['one'] * 7, two.load(name)() == ['two'] * 7)", two)
    assert said == "True True\n"


def test_modules_of_the_process_with_the_names_of_siblings_change_nothing_and_stay(two, tmp_path):
    """The strangers lie on the search path before everything else, as an installed `utils` does."""
    strangers = write(
        tmp_path / "strangers", {f"{name}.py": "NAME = 'stranger'\n" for name in ("utils", "pipeline", "late", "deep")}
    )
    program = "import utils, pipeline\n" + LOAD + (
        "print(one.load(name)() == ['one'] * 7)\nimport late, sys\n"
        "print(utils.NAME, sys.modules['utils'] is utils, pipeline.NAME, hasattr(late, 'LATE'), 'data' in sys.modules)"
    )  # fmt: skip
    assert python(program, two, path=strangers) == "True\nstranger True stranger False False\n"


def test_a_worker_imports_no_torch_for_code_without_torch(two):
    assert python(LOAD + "import sys; one.load(name)(); print('torch' in sys.modules)", two) == "False\n"


def test_sources_are_run_once_a_process(tmp_path):
    folder = write(tmp_path, {"study.py": "import one\ndef build(): return one\n", "one.py": "print('ran')\n"})
    code = collect_code(["study.py:build"], folder / "study.py")
    write(folder, {"codes.pickle": pickle.dumps([code, code])})
    program = (
        "import io, sys; sys.stderr = io.StringIO()\n" + LOAD.replace("my-gpt", "study")
        + "print(one.load(name)() is two.load(name)(), sys.stderr.getvalue().count('ran'))"
    )  # fmt: skip
    assert python(program, folder) == "True 1\n", "once, and on stderr: stdout is for the command's own output"


def test_threads_that_load_at_once_share_one_module(tmp_path):
    folder = write(tmp_path, {"study.py": "import time\ntime.sleep(.2)\ndef build(): pass\n"})
    code, found = collect_code(["study.py:build"], folder / "study.py"), []
    threads = [threading.Thread(target=lambda: found.append(code.load("study.py:build"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_changed_sources_are_loaded_beside_the_old_ones(tmp_path):
    old = collect_code(["study.py:build"], write(tmp_path, {"study.py": "def build(): return 1\n"}) / "study.py")
    new = collect_code(["study.py:build"], write(tmp_path, {"study.py": "def build(): return 2\n"}) / "study.py")
    assert [code.load("study.py:build")() for code in (old, new, old)] == [1, 2, 1]


def test_files_beside_the_study_are_found_where_its_folder_exists(tmp_path, monkeypatch):
    text = "from pathlib import Path\nWORD = Path('word.txt').read_text()\ndef build(): return WORD, Path(__file__).with_name('word.txt')\n"
    folder = write(tmp_path / "study", {"study.py": text, "word.txt": "found"})
    code = collect_code(["study.py:build"], folder / "study.py")
    assert code.load("study.py:build")() == ("found", folder / "word.txt")


def test_siblings_may_import_each_other_and_the_study_file(tmp_path):
    folder = write(tmp_path, {
        "study.py": "import one\nSIZE = 3\ndef build(): return one.size()\n",
        "one.py": "import two\ndef size(): return two.size()\n",
        "two.py": "import one\nimport study\ndef size(): return study.SIZE + (one is not None)\n",
    })  # fmt: skip
    assert collect_code(["study.py:build"], folder / "study.py").load("study.py:build")() == 4


def test_a_study_file_called_like_a_package_does_not_stand_in_for_it(tmp_path):
    folder = write(tmp_path, {"json.py": "import json\ndef build(): return json.dumps([1])\n"})
    assert collect_code(["json.py:build"], folder / "json.py").load("json.py:build")() == "[1]"
    assert sys.modules["json"].dumps([]) == "[]"


def test_a_study_file_with_dots_in_its_name_is_loaded(tmp_path):
    folder = write(
        tmp_path, {"gpt.v1.2.py": "import gpt\ndef build(): return gpt.NAME\n", "gpt.py": "NAME = 'sibling'\n"}
    )
    assert collect_code(["gpt.v1.2.py:build"], folder / "gpt.v1.2.py").load("gpt.v1.2.py:build")() == "sibling"


def test_python_finds_the_text_of_what_was_loaded(two):
    code = pickle.loads((two / "codes.pickle").read_bytes())[0]
    found = code.load("my-gpt.py:Net")
    linecache.checkcache()
    assert inspect.getsource(found) == 'class Net:\n    """A class."""\n'


def test_what_was_loaded_is_pickled_within_the_process(two):
    found = pickle.loads((two / "codes.pickle").read_bytes())[0].load("my-gpt.py:Net")
    assert isinstance(pickle.loads(pickle.dumps(found())), found)


def test_a_family_is_found_by_its_name(installed_model, tmp_path):
    code = collect_code(["transformer", "wide", "deep"], tmp_path / "study.yaml")
    assert (code.entry, code.sources, code.packages) == (None, {}, {"nets": "2.5"})
    assert [code.load(name)() for name in ("transformer", "wide", "deep")] == ["a transformer", "wide", "deep"]
    assert [code.load(name, "loss")() for name in ("transformer", "wide")] == ["its loss", "loss of wide"]
    with pytest.raises(CodeError, match=r"nets\.deep must define loss, but it does not"):
        code.load("deep", "loss")


@pytest.mark.parametrize(
    ("study", "sentence"),
    [
        ("import sys\nsys.exit(3)\n", "study.py fails in line 2: it ends the program (SystemExit)"),
        ("x = 1\ny = 1 / 0\n", "study.py fails in line 2: ZeroDivisionError: division by zero"),
        ("import sibling\n", "study.py fails in line 2 of sibling.py: ValueError: two lines"),
        ("import absent.one\n", "study.py fails in line 1: ModuleNotFoundError: No module named 'absent'"),
        ("import empty.one\n", "study.py fails in line 1: ModuleNotFoundError: No module named 'empty.one'"),
        ("from empty import one\n", "study.py fails in line 1: ImportError: cannot import name 'one' from 'empty' ("),
        (
            "import importlib\nimportlib.import_module('besid' + 'e')\n",
            "study.py fails in line 2: ModuleNotFoundError: No module named 'beside'. It lies beside the study file, but only "
            "what import statements name is sent to workers: write import beside",
        ),
        ("class Mute(Exception):\n    def __str__(self): raise self\nraise Mute", "study.py fails in line 3: Mute"),
        ("def __getattr__(name): raise KeyError(name)\n", "study.py fails in line 1: KeyError: 'build'"),
        ("build = 3\n", "study.py:build must be a function, got int"),
        ("x = 3\n", "study.py must define build, but it does not"),
    ],
)
def test_code_that_fails_while_it_is_loaded_ends_in_one_sentence(tmp_path, study, sentence):
    folder = write(
        tmp_path,
        {
            "study.py": study,
            "sibling.py": "\nraise ValueError('two\\nlines')\n",
            "empty/__init__.py": "",
            "beside.py": "",
        },
    )
    code = collect_code(["study.py:build"], folder / "study.py")
    for _ in range(2):  # a second attempt says the same
        with pytest.raises(CodeError) as caught:
            code.load("study.py:build")
        assert str(caught.value).startswith(sentence)
        assert "\n" not in str(caught.value)


def test_a_traceback_is_cut_to_the_users_files(tmp_path):
    text = "import json, helper\ndef build():\n    return helper.read()\n"
    folder = write(tmp_path, {"study.py": text, "helper.py": "import json\ndef read():\n    return json.loads('{')\n"})
    code = collect_code(["study.py:build"], folder / "study.py")
    build = code.load("study.py:build")
    (folder / "helper.py").write_text("the file has changed since\n" * 9)
    with pytest.raises(CodeError) as caught, code_errors("study.py:build"):
        build()
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error).startswith(
        "study.py:build fails in line 3 of helper.py: JSONDecodeError: Expecting property name"
    )
    assert error.traceback.splitlines()[:-1] == [
        "Traceback (most recent call last):",
        f'  File "{folder}/study.py", line 3, in build',
        "    return helper.read()",
        f'  File "{folder}/helper.py", line 3, in read',
        "    return json.loads('{')",
    ]


def test_an_error_of_an_installed_package_points_into_it(tmp_path, monkeypatch):
    write(tmp_path, {"site/broken_net.py": "def build():\n    raise ValueError('no')\n"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    code = collect_code(["broken_net:build"], tmp_path / "study.py")
    with (
        pytest.raises(CodeError, match=r"fails in line 2 of .*broken_net\.py: ValueError: no$"),
        code_errors("broken_net:build"),
    ):
        code.load("broken_net:build")()
    del sys.modules["broken_net"]


def test_a_package_that_is_not_installed_here_is_named(tmp_path, monkeypatch):
    write(tmp_path, {"site/only_there.py": "def build(): pass\n"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    code = collect_code(["only_there:build"], tmp_path / "study.py")
    monkeypatch.undo()
    with pytest.raises(CodeError, match=r"^only_there fails: ModuleNotFoundError: No module named 'only_there'$"):
        code.load("only_there:build")


def test_a_module_that_somebody_made_by_hand_stands_in_for_no_sibling(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "utils", ModuleType("utils"))
    folder = write(tmp_path, {"study.py": "import utils\ndef build(): return utils.NAME\n", "utils.py": "NAME = 1\n"})
    assert collect_code(["study.py:build"], folder / "study.py").load("study.py:build")() == 1
    assert not hasattr(sys.modules["utils"], "NAME")
