"""A family that ships and a model that an installed package registers, both without torch."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from gradstab.user_code import packages
from tests.user_code.files import write


@pytest.fixture
def families(monkeypatch):
    """The only shipped family is `transformer`."""
    registry, family = ModuleType("gradstab.families.registry"), ModuleType("a_family")
    vars(registry)["FAMILIES"] = {"transformer": "a_family"}
    vars(family).update(build=lambda: "a transformer", loss=lambda: "its loss")
    monkeypatch.setitem(sys.modules, "gradstab.families.registry", registry)
    monkeypatch.setitem(sys.modules, "a_family", family)


@pytest.fixture
def installed_model(tmp_path, monkeypatch, families):
    """A distribution `nets` 2.5 that registers its function `make` and its module `nets.deep`."""
    site = write(tmp_path / "site-packages", {
        "nets/__init__.py": "",
        "nets/wide.py": "def make(): return 'wide'\ndef loss(): return 'loss of wide'\n",
        "nets/deep.py": "def build(): return 'deep'\n",
        "nets-2.5.dist-info/METADATA": "Metadata-Version: 2.1\nName: nets\nVersion: 2.5\n",
        "nets-2.5.dist-info/RECORD": "nets/__init__.py,,\n",
        "nets-2.5.dist-info/entry_points.txt": "[gradstab.models]\nwide = nets.wide:make\ndeep = nets.deep\n",
    })  # fmt: skip
    monkeypatch.syspath_prepend(str(site))
    packages.registered.cache_clear()
    packages._distributions.cache_clear()
    yield
    packages.registered.cache_clear()
    packages._distributions.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "nets"]:
        del sys.modules[name]
