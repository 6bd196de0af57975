"""The results folder keeps the code that trials ran, and says what of it changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradstab.errors import StorageError
from gradstab.user_code.code import UserCode, collect_code
from gradstab.user_code.stored import changed_files, read_code, save_code
from tests.user_code.files import write


@pytest.fixture
def code(tmp_path):
    return collected(tmp_path)


def collected(tmp_path: Path, **changed: str) -> UserCode:
    files = {"my_gpt": "import utils\ndef build(): return utils.SIZE\n", "utils": "SIZE = 3\n", **changed}
    folder = write(tmp_path / "study", {f"{name}.py": text for name, text in files.items()})
    return collect_code(["my_gpt.py:build"], folder / "my_gpt.py")


def test_what_was_saved_is_read_and_runs(tmp_path, code):
    assert read_code(tmp_path) is None
    save_code(tmp_path, code)
    found = read_code(tmp_path)
    assert found is not None
    assert (found, found.folder) == (code, code.folder)
    assert found.load("my_gpt.py:build")() == 3
    assert (tmp_path / "code" / code.digest / "my_gpt.py").read_bytes() == code.sources["my_gpt.py"]


def test_earlier_code_is_kept_under_its_hash(tmp_path, code):
    save_code(tmp_path, code)
    newer = collected(tmp_path, utils="SIZE = 4\n")
    save_code(tmp_path, newer)
    assert read_code(tmp_path) == newer
    assert read_code(tmp_path, code.digest) == code
    save_code(tmp_path, code)
    assert read_code(tmp_path) == code
    assert read_code(tmp_path, "0" * 64) is None


def test_changed_files_are_named(tmp_path, code):
    def changes(**changed: str) -> list[str]:
        return changed_files(code, collected(tmp_path, **changed))

    assert changes() == []
    assert changes(utils="# a comment\nSIZE = 3\n") == []
    assert changes(utils="SIZE = 4\n") == ["utils.py"]
    assert changes(my_gpt="import other\ndef build(): return 3\n", other="") == ["my_gpt.py", "other.py", "utils.py"]


def test_changed_packages_are_named():
    old, new = (UserCode(None, {}, {"timm": version, "same": "1"}, version) for version in ("1.0", "1.1"))
    assert changed_files(old, new) == ["timm"]


def test_sources_that_this_python_cannot_read_are_compared_as_they_are():
    old, new, same = (UserCode("a.py", {"a.py": content}, {}, "") for content in (b"print 1", b"print 2", b"print 1"))
    assert changed_files(old, new) == ["a.py"]
    assert changed_files(old, same) == []


def test_files_that_were_changed_in_the_results_folder_are_refused(tmp_path, code):
    save_code(tmp_path, code)
    (tmp_path / "code" / code.digest / "utils.py").write_text("SIZE = 5\n")
    with pytest.raises(StorageError, match="must hold the files as gradstab wrote them, but they were changed"):
        read_code(tmp_path)


def test_a_torn_or_newer_record_is_refused(tmp_path, code):
    save_code(tmp_path, code)
    newest = tmp_path / "code" / "newest.json"
    newest.write_text("{")
    with pytest.raises(StorageError, match="must hold JSON as gradstab writes it"):
        read_code(tmp_path)
    newest.write_text('{"schema_version": 2}')
    with pytest.raises(StorageError, match="must have schema version 1, got 2: another version of gradstab wrote it"):
        read_code(tmp_path)


def test_a_save_that_was_killed_leaves_nothing_that_counts(tmp_path, code):
    (tmp_path / "code" / ".partial-left" / code.digest).mkdir(parents=True)
    assert read_code(tmp_path) is None
    save_code(tmp_path, code)
    assert read_code(tmp_path) == code


def test_a_folder_that_cannot_be_written_is_said(tmp_path, code):
    (tmp_path / "code").write_text("a file stands in the way")
    with pytest.raises(StorageError, match=r"cannot write to .*code: "):
        save_code(tmp_path, code)
