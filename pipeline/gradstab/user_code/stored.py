"""Keeps the code of a study in its results folder: the sources that its trials ran, as files that people can read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from gradstab.errors import StorageError
from gradstab.system.durable import new_folder, replace_file
from gradstab.system.versioned_json import read_versioned
from gradstab.user_code.code import UserCode
from gradstab.user_code.failures import CodeError
from gradstab.user_code.syntax import tree_hash, trees_to_run

SCHEMA_VERSION = 1
_FOLDER, _NEWEST, _INDEX = "code", "newest.json", "code.json"


def save_code(folder: Path, code: UserCode) -> None:
    """Keep code in a results folder as its newest. Code with another hash that is kept there stays.

    Raises:
        StorageError: the folder cannot be written.
    """
    home = folder / _FOLDER
    place = home / code.digest
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not place.is_dir():
            with new_folder(place) as partial:
                for path, content in code.sources.items():
                    (partial / path).parent.mkdir(parents=True, exist_ok=True)
                    replace_file(partial / path, content, durable=True)
                index = {
                    "schema_version": SCHEMA_VERSION,
                    "entry": code.entry,
                    "folder": code.folder,
                    "packages": dict(code.packages),
                    "sources": _hashes(code.sources),
                }
                replace_file(partial / _INDEX, json.dumps(index, indent=2), durable=True)
    except OSError as error:
        raise StorageError(f"cannot write to {home}: {error.strerror}") from error
    newest = {"schema_version": SCHEMA_VERSION, "digest": code.digest}
    replace_file(home / _NEWEST, json.dumps(newest), durable=True)


def read_code(folder: Path, digest: str | None = None) -> UserCode | None:
    """The code that a results folder keeps, of a code hash or the newest; None if it keeps none.

    Raises:
        StorageError: the files cannot be read, or are not those that gradstab wrote.
    """
    home = folder / _FOLDER
    if digest is None:
        newest = read_versioned(home / _NEWEST, SCHEMA_VERSION)
        if newest is None:
            return None
        digest = str(newest["digest"])
    index = read_versioned(home / digest / _INDEX, SCHEMA_VERSION)
    if index is None:
        return None
    place = home / digest
    try:
        sources = {path.relative_to(place).as_posix(): path.read_bytes() for path in sorted(place.rglob("*.py"))}
    except OSError as error:
        raise StorageError(f"{place} cannot be read: {error.strerror}") from None
    if _hashes(sources) != index["sources"]:
        raise StorageError(f"{place} must hold the files as gradstab wrote them, but they were changed")
    return UserCode(index["entry"], sources, index["packages"], digest, index["folder"])


def changed_files(old: UserCode, new: UserCode) -> list[str]:
    """The files and installed packages of which two codes differ, by name; new and missing ones among them."""
    before, now = _identities(old), _identities(new)
    return [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]


def _identities(code: UserCode) -> dict[str, str]:
    try:
        trees = trees_to_run(code.sources)
    except CodeError:  # written for another version of Python
        return {**_hashes(code.sources), **code.packages}
    return {**{path: tree_hash(tree) for path, tree in trees.items()}, **code.packages}


def _hashes(sources: Mapping[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in sources.items()}
