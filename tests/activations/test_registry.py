"""Finding an activation by name: what installed packages register is known to YAML, and imported by nobody who only asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gradstab.activations import library, registry
from gradstab.activations.from_outside import import_activations
from gradstab.activations.registry import LIBRARY, find_activation, is_import_path
from gradstab.errors import StudyError, UsageError
from gradstab.study.file import load_study_file
from gradstab.study.origin import FROM_RECORD
from gradstab.study.study import Study

STUDY = """
name: s
question: q
budget: {{trials: 4}}
space: {{init_scale: {{type: log_real, low: 1, high: 2}}}}
recipe: {{activation: {activation}}}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An installed package that registers a torch function, one that is broken, and one under a name of the library."""
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes" / "__init__.py").write_text("import torch\ndef cubed(z): return z**3\n")
    info = tmp_path / "shapes-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shapes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gradstab.activations]\ncubed = shapes:cubed\nbroken = shapes:nothing\ntanh = shapes:cubed\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.installed.cache_clear()
    yield "shapes"
    sys.modules.pop("shapes", None)
    registry.installed.cache_clear()


def test_a_name_of_the_library_is_that_of_its_file():
    assert {"tanh", "relu", "gelu"} <= set(LIBRARY)
    folder = Path(library.__path__[0])
    assert set(LIBRARY) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
    for name in LIBRARY:
        assert find_activation(name).theory().name == name


def test_asking_for_the_library_imports_no_torch():
    code = (
        "import sys\nfrom gradstab.activations.registry import *\n"
        "assert [keeps_z(n) or is_dear(n) for n in LIBRARY]\n"
        "assert not {'torch', 'scipy'} & set(sys.modules)\n"
        "as_function('gelu')\nassert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_yaml_may_name_what_a_package_registers_and_nothing_is_imported(package, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(STUDY.format(activation="cubed"))
    study = load_study_file(path)
    assert study.recipe.activation == "cubed"
    assert package not in sys.modules
    assert import_activations([*study.activations, "tanh"], tmp_path / "elsewhere").keys() == {"cubed"}
    assert package in sys.modules
    path.write_text(STUDY.format(activation="cubes"))
    with pytest.raises(StudyError, match=r"must be one of elu, .*, cubed, got 'cubes'; did you mean 'cubed'"):
        load_study_file(path)


def test_a_package_that_is_broken_ends_in_a_sentence(package, tmp_path):
    with pytest.raises(UsageError, match="the activation broken must be importable, but: AttributeError"):
        import_activations(["broken"], tmp_path)


def test_results_open_where_the_package_is_not_installed(package, tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(STUDY.format(activation="cubed"))
    dumped = load_study_file(path).dump()
    registry.installed.cache_clear()
    (tmp_path / "shapes-1.0.dist-info" / "entry_points.txt").write_text("")
    with pytest.raises(StudyError, match="must be one of"):
        Study.model_validate(dumped)
    study = Study.model_validate(dumped, context=FROM_RECORD)
    assert study.recipe.at({"depth": 3}).activation == "cubed"


@pytest.mark.parametrize("name", ["torch:tanh", "a.b:c.d", "_a:b1"])
def test_import_paths(name):
    assert is_import_path(name)


@pytest.mark.parametrize(
    "name", ["tanh", "a:", ":b", "a:b:c", "a b:c", "a:b()", "a..b:c", "a:" + "b" * 300, "os\n:system", ""]
)
def test_no_import_paths(name):
    assert not is_import_path(name)


def test_a_name_is_known_once_its_activation_is_imported(package, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_imported", {})
    assert registry.is_known("tanh")
    assert not registry.is_known("cubed")
    registry.add_imported(import_activations(["cubed"], tmp_path))
    assert registry.is_known("cubed")
    assert not registry.is_known("squared")
