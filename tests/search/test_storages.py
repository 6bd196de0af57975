"""Storage that is torn, locked, gone, full or not meant: what is mended, and what is said."""

from __future__ import annotations

import resource
import sqlite3
from pathlib import Path

import pytest

from gradstab.errors import StorageError, UsageError
from gradstab.loop.ports import TrialValue
from gradstab.search.searcher import OptunaSearcher
from gradstab.search.storages import open_storage
from gradstab.study.axes import LogReal, Real, Value
from gradstab.study.sampler_spec import SobolSpec
from gradstab.study.space import SearchSpace
from gradstab.system.storage_url import parse_storage, without_password

SPACE = SearchSpace({"init_scale": LogReal(0.5, 4.0), "momentum": Real(0.0, 0.9)})


def make_searcher(url: str) -> OptunaSearcher:
    return OptunaSearcher(parse_storage(url), "study", SPACE, SobolSpec(), study_seed=5)


@pytest.mark.parametrize("torn", [b"{", b'{"op_code":6,"worker_id":"w","trial_id":0,"state":1,"val', b"\0" * 70_000])
def test_a_torn_last_line_is_cut_off_and_nothing_else(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "journal.log"
    searcher = make_searcher(f"journal:{path}")
    asked = searcher.ask(3)
    searcher.tell(TrialValue(0, 0.5))
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    reopened = make_searcher(f"journal:{path}")
    assert path.read_bytes() == whole
    state = reopened.state()
    assert state.told == {0}
    assert state.running == tuple(asked[1:])
    reopened.ask(1)
    assert [p.number for p in make_searcher(f"journal:{path}").state().running] == [1, 2, 3]


def test_every_truncation_of_a_journal_can_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    searcher = make_searcher(f"journal:{path}")
    design = searcher.ask(2)
    searcher.tell(TrialValue(0, 0.5, {"R": 0.1}))
    whole = path.read_bytes()
    for size in range(0, len(whole), 37):
        path.write_bytes(whole[:size])
        reopened = make_searcher(f"journal:{path}")
        state = reopened.state()
        assert state.running == tuple(
            p for p in design[: len(state.told) + len(state.running)] if p.number not in state.told
        )
        asked = reopened.ask(1)
        assert asked[0].number == len(state.told) + len(state.running)


def test_the_lock_of_a_killed_writer_is_gone_before_the_first_write(tmp_path: Path) -> None:
    """Optuna's own writer would wait for it for half a minute."""
    path = tmp_path / "journal.log"
    make_searcher(f"journal:{path}").ask(1)
    lock = tmp_path / "journal.log.lock"
    lock.symlink_to(path)
    opened = open_storage(parse_storage(f"journal:{path}"), "study")
    assert not lock.is_symlink()
    opened.close()
    assert [p.number for p in make_searcher(f"journal:{path}").ask(1)] == [1]


def test_a_full_disk_is_said_in_one_sentence_and_the_study_goes_on_after_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    searcher = make_searcher(f"journal:{path}")
    asked = searcher.ask(2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
    try:
        with pytest.raises(StorageError, match=r"cannot be read or written: .*File too large") as caught:
            searcher.ask(1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    reopened = make_searcher(f"journal:{path}")
    assert reopened.state().running == tuple(asked)
    assert [p.number for p in reopened.ask(1)] == [2]


def test_sqlite_is_set_to_write_ahead(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "optuna.db"
    searcher = make_searcher(f"sqlite:///{path}")
    searcher.ask(1)
    searcher.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


@pytest.mark.parametrize("scheme", ["journal:", "sqlite:///"])
def test_a_path_that_cannot_be_is_said_in_one_sentence(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be read or written") as caught:
        make_searcher(f"{scheme}{tmp_path / 'file' / 'storage'}")
    assert "\n" not in str(caught.value)


def test_an_unreachable_server_is_said_without_the_password() -> None:
    with pytest.raises(StorageError) as caught:
        make_searcher("postgresql://me:s3cr%21t@127.0.0.1:9/study")
    sentence = str(caught.value)
    assert "postgresql://me:***@127.0.0.1:9/study" in sentence
    assert "s3cr" not in sentence
    assert "\n" not in sentence
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    ["", "journal:", "sqlite://", "sqlite:///", "mysql://me:s3cret@host/db", "redis://host", "/a/path", "postgresql:x"],
)
def test_other_storages_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="storage must be journal:PATH, sqlite:///PATH or postgresql://") as caught:
        parse_storage(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["journal:/a/b@c:d", "sqlite:///x", "postgresql://me@host/db", "postgresql://[bad"])
def test_a_url_without_a_password_is_shown_as_it_is(url: str) -> None:
    assert without_password(url) == url


def test_a_trial_that_storage_never_saw_is_named(tmp_path: Path) -> None:
    searcher = make_searcher(f"journal:{tmp_path / 'journal.log'}")
    searcher.ask(1)
    with pytest.raises(StorageError, match="has no trial 7"):
        searcher.tell(TrialValue(7, 0.5))


def test_a_second_writer_is_noticed(tmp_path: Path) -> None:
    url = f"journal:{tmp_path / 'journal.log'}"
    first, second = make_searcher(url), make_searcher(url)

    class Overtaken:
        def point(self, index: int) -> dict[str, Value]:
            return second.ask(1)[0].point

    first._design = Overtaken()
    with pytest.raises(StorageError, match="another process created trial 0 of study"):
        first.ask(1)
