"""Siblings of a study file: found beside it, never mixed up with what the process has imported already."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import pytest

from gradstab.system.siblings import is_installed, siblings_importable


def test_a_module_of_elsewhere_with_a_siblings_name_is_put_aside_meanwhile(tmp_path, monkeypatch):
    (tmp_path / "utils.py").write_text("NAME = 'sibling'\n")
    stranger, below = ModuleType("utils"), ModuleType("utils.below")
    monkeypatch.setitem(sys.modules, "utils", stranger)
    monkeypatch.setitem(sys.modules, "utils.below", below)
    with siblings_importable(tmp_path):
        assert importlib.import_module("utils").NAME == "sibling"
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("utils.below")
    assert (sys.modules["utils"], sys.modules["utils.below"]) == (stranger, below)


def test_an_installed_package_stands_before_a_sibling(tmp_path):
    for name in ("json", "numpy", "gradstab", "utils_of_mine"):
        (tmp_path / f"{name}.py").write_text("")
    numpy = sys.modules.get("numpy")
    with siblings_importable(tmp_path):
        assert sys.modules.get("numpy") is numpy
        assert hasattr(importlib.import_module("numpy"), "ndarray")
    found = {name: is_installed(name, tmp_path) for name in ("json", "numpy", "gradstab", "utils_of_mine", "absent")}
    assert found == {"json": True, "numpy": True, "gradstab": True, "utils_of_mine": False, "absent": False}


def test_a_folder_on_the_search_path_makes_its_modules_no_packages(tmp_path, monkeypatch):
    (tmp_path / "utils_of_mine.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert not is_installed("utils_of_mine", tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "link"))
    assert not is_installed("utils_of_mine", tmp_path)
