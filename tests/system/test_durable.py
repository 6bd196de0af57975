"""Files and folders appear complete or not at all, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradstab.errors import StorageError
from gradstab.system.durable import new_file, new_folder, replace_file, replace_files


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_and_only_its_owner_reads_a_private_one(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    (tmp_path / ".a.json.partial").write_text("of a process that was killed")
    replace_file(path, "né", durable=durable, private=True)
    assert contents(tmp_path) == {"a.json": "né".encode()}
    assert path.stat().st_mode & 0o777 == 0o600
    replace_file(path, b"\0", durable=durable)
    assert contents(tmp_path) == {"a.json": b"\0"}


def test_what_cannot_be_written_leaves_the_old_file_and_says_so_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("old")
    with pytest.raises(StorageError, match=r"cannot write .*full: Is a directory. Results recorded so far are safe"):
        replace_file(tmp_path / "full", "new", durable=False)
    assert contents(tmp_path) == {"full/file": b"old"}
    with pytest.raises(StorageError, match="cannot write to"):
        replace_files(tmp_path / "full" / "file", {"a": b"1"})


def test_an_error_half_way_leaves_nothing(tmp_path: Path) -> None:
    def fill_file() -> None:
        with new_file(tmp_path / "database") as partial:
            for suffix in ("", "-wal", "-shm"):  # as SQLite leaves them
                partial.with_name(partial.name + suffix).write_text("half")
            raise ZeroDivisionError

    def fill_folder() -> None:
        with new_folder(tmp_path / "folder") as partial:
            (partial / "a").write_text("half")
            raise ZeroDivisionError

    for fill in (fill_file, fill_folder):
        with pytest.raises(ZeroDivisionError):
            fill()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_appears_with_all_its_files(tmp_path: Path) -> None:
    with new_folder(tmp_path / "folder") as partial:
        (partial / "a").write_text("1")
        assert not (tmp_path / "folder").exists()
    assert contents(tmp_path) == {"folder/a": b"1"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_files_are_replaced_and_others_stay(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "other").write_text("mine")
    replace_files(tmp_path, {"a": b"new", "b": b"2"})
    assert contents(tmp_path) == {"a": b"new", "b": b"2", "other": b"mine"}
