"""Files of a known format are read, and everything else ends in a sentence that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradstab.errors import StorageError
from gradstab.system.versioned_json import read_versioned


def test_a_file_of_the_version_is_read_and_none_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    assert read_versioned(path, 1) is None
    path.write_text('{"schema_version": 1, "study": {"name": "caf\\u00e9"}}')
    assert read_versioned(path, 1) == {"schema_version": 1, "study": {"name": "café"}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"schema_version": 2}', "must have schema version 1, got 2: another version of gradstab wrote it"),
        (b"{}", "must have schema version 1, got None"),
        (b'{"schema_version": 1', "must hold JSON as gradstab writes it, but: "),
        (b'{"schema_version": "\xff"}', "must hold JSON as gradstab writes it, but: "),
        (b"", "must hold JSON as gradstab writes it, but: "),
        (b"[1]", "must hold JSON as gradstab writes it, but holds a list"),
    ],
)
def test_any_other_content_ends_in_a_sentence(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "study.json"
    path.write_bytes(content)
    with pytest.raises(StorageError) as refused:
        read_versioned(path, 1)
    assert str(refused.value).startswith(f"{path} {words}")


def test_a_folder_in_its_place_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read: Is a directory"):
        read_versioned(tmp_path, 1)
