"""One driver on a real PostgreSQL: restarts, cut connections, two drivers, a takeover; each trial once all the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from gradstab.errors import StorageError, StudyHeldError
from gradstab.loop.ports import Proposal, TrialValue
from gradstab.search.postgresql import SupersededError, take_over
from gradstab.search.searcher import OptunaSearcher
from gradstab.study.axes import LogReal, Real
from gradstab.study.sampler_spec import AnySampler, SobolSpec, TpeSpec
from gradstab.study.space import SearchSpace
from gradstab.system.storage_url import parse_storage
from tests.search.storages import Server, postgresql_server

SPACE = SearchSpace({"init_scale": LogReal(0.5, 4.0), "momentum": Real(0.0, 0.9)})
SPECS: dict[str, AnySampler] = {"sobol": SobolSpec(), "tpe": TpeSpec()}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgresql_server() as running:
        yield running


class Drivers:
    """Makes drivers of one study and notes what they report."""

    def __init__(self, url: str, name: str, stack: ExitStack) -> None:
        self.url, self.name, self.said = url, name, list[str]()
        self._stack = stack

    def __call__(self, spec: AnySampler = SPECS["sobol"], *, patience: float = 30.0) -> OptunaSearcher:
        searcher = OptunaSearcher(
            parse_storage(self.url), self.name, SPACE, spec, study_seed=5, patience=patience, report=self.said.append
        )
        self._stack.callback(searcher.close)
        return searcher


@pytest.fixture
def drivers(server: Server, request: pytest.FixtureRequest) -> Iterator[Drivers]:
    with ExitStack() as stack:
        yield Drivers(server.url, request.node.name, stack)


def cut_connections(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'gradstab driver'"
        ).fetchone()
    assert found is not None
    return int(found[0])


def undisturbed(drivers: Drivers, spec: AnySampler, count: int) -> list[Proposal]:
    searcher = OptunaSearcher(parse_storage(drivers.url), f"{drivers.name}-undisturbed", SPACE, spec, study_seed=5)
    try:
        return searcher.ask(count)
    finally:
        searcher.close()


@contextmanager
def cut_before(searcher: OptunaSearcher, moment: str, which: int) -> Iterator[list[int]]:
    """Cuts the driver's connection before its `which`-th statement, check of its lease or commit, from another one."""
    seen, cut = 0, list[int]()

    def meet(*_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == which:
            cut.append(cut_connections(searcher._place.url))

    engine = searcher._storage._backend.engine  # type: ignore[attr-defined]
    name = "commit" if moment == "check" else moment
    event.listen(engine, name, meet)
    if moment == "check":  # made at the beginning of a commit, by the listener that was there first
        (check,) = [listener for listener in engine.dispatch.commit if listener is not meet]
        event.remove(engine, name, check)
        event.listen(engine, name, check)
    try:
        yield cut
    finally:
        event.remove(engine, name, meet)


@pytest.mark.parametrize("sampler", SPECS)
@pytest.mark.parametrize(("moment", "which"), [("before_cursor_execute", n) for n in (1, 4, 7)] + [("commit", n) for n in (2, 5)] + [("check", n) for n in (2, 5)])  # fmt: skip
def test_a_connection_cut_anywhere_in_ask_loses_and_doubles_no_trial(
    drivers: Drivers, sampler: str, moment: str, which: int
) -> None:
    searcher = drivers(SPECS[sampler])
    with cut_before(searcher, moment, which) as cut:
        asked = searcher.ask(3)
    assert cut == [1]
    assert [p.number for p in asked] == [0, 1, 2]
    assert searcher.state().running == tuple(asked)
    assert len({tuple(p.point.values()) for p in asked}) == 3
    if sampler == "sobol":
        assert asked == undisturbed(drivers, SPECS[sampler], 3)
    assert [sentence.split(" ")[:3] for sentence in drivers.said] == [
        ["storage", "is", "away"],
        ["storage", "is", "back"],
    ]


@pytest.mark.parametrize(("moment", "which"), [("before_cursor_execute", n) for n in (2, 4, 6)] + [("commit", n) for n in (1, 2, 3)] + [("check", n) for n in (1, 2, 3)])  # fmt: skip
def test_a_connection_cut_anywhere_in_tell_tells_once(drivers: Drivers, moment: str, which: int) -> None:
    searcher = drivers()
    searcher.ask(2)
    with cut_before(searcher, moment, which) as cut:
        searcher.tell(TrialValue(0, 0.5, {"R": 0.25}))
        searcher.tell(TrialValue(1, -0.5))
    assert cut == [1]
    state = searcher.state()
    assert state.told == {0, 1}
    assert not state.running
    trial = searcher._study.trials[0]
    assert (trial.value, trial.user_attrs) == (0.5, {"gs.R": 0.25})


def test_a_server_that_is_down_for_a_while_is_waited_for(drivers: Drivers, server: Server) -> None:
    searcher = drivers()
    asked = searcher.ask(2)
    server.stop()
    thread = threading.Timer(2.0, server.start)
    thread.start()
    try:
        searcher.tell(TrialValue(0, 0.5))
        more = searcher.ask(2)
    finally:
        thread.join()
    assert [p.number for p in more] == [2, 3]
    assert searcher.state().told == {0}
    assert searcher.state().running == (asked[1], *more)
    assert drivers.said[0].startswith("storage is away and will be tried for 30 s: ")
    assert drivers.said[-1].startswith("storage is back after")


def test_patience_ends_in_one_sentence_and_the_next_driver_goes_on(drivers: Drivers, server: Server) -> None:
    searcher = drivers(patience=0.5)
    asked = searcher.ask(1)
    server.stop()
    try:
        with pytest.raises(StorageError, match="cannot be read or written: ") as caught:
            searcher.tell(TrialValue(0, 0.5))
    finally:
        server.start()
    assert "\n" not in str(caught.value)
    searcher.close()
    assert drivers().state().running == tuple(asked)


def test_a_second_driver_is_refused_while_the_first_one_lives(drivers: Drivers) -> None:
    first = drivers()
    first.ask(1)
    with pytest.raises(StudyHeldError, match=r"process \d+ on .* holds it in PostgreSQL: .*--force"):
        drivers()
    first.tell(TrialValue(0, 0.5))
    first.close()
    assert drivers().state().told == {0}


def test_a_driver_that_was_taken_over_stops_at_its_next_write(drivers: Drivers) -> None:
    first = drivers()
    first.ask(2)
    take_over(drivers.url, drivers.name)
    second = drivers()
    for write in (lambda: first.tell(TrialValue(0, 9.0)), lambda: first.ask(1), lambda: first.tell_failure(1, "no")):
        with pytest.raises(SupersededError, match=r"process \d+ on .* has taken it over: this driver stops"):
            write()
    assert SupersededError.exit_code == 4
    state = second.state()
    assert (state.told, state.failed, [p.number for p in state.running]) == (frozenset(), frozenset(), [0, 1])
    second.tell(TrialValue(0, 0.5))
    assert second.state().told == {0}


def test_a_driver_that_slept_through_another_s_work_tells_nothing(drivers: Drivers) -> None:
    """Cut off, another driver comes and goes, then the first wakes up: lock free, epoch past."""
    first = drivers()
    first.ask(2)
    cut_connections(drivers.url)
    second = drivers()
    second.tell(TrialValue(0, 0.5))
    with pytest.raises(SupersededError):
        first.tell(TrialValue(1, 9.0))
    second.close()
    with pytest.raises(SupersededError):
        first.tell(TrialValue(1, 9.0))
    assert [p.number for p in drivers().state().running] == [1]


def test_the_lock_is_kept_by_the_server_until_the_lost_connection_ends(drivers: Drivers) -> None:
    """A network that breaks without a word: the old connection lives on at the server, holding the lock."""
    first = drivers(patience=20.0)
    first.ask(1)
    engine = first._storage._backend.engine  # type: ignore[attr-defined]
    with engine.connect() as connection:
        lost = connection.connection.dbapi_connection
        connection.invalidate()  # forgets the connection; the next one must take the lock again
    kept = psycopg.connect(drivers.url, autocommit=True)
    with kept:
        (epoch,) = kept.execute("SELECT epoch FROM gradstab_drivers WHERE study = %s", [drivers.name]).fetchone() or (
            0,
        )
        from gradstab.search.postgresql import _key

        assert lost is not None
        kept.execute("SELECT pg_advisory_lock(%s)", [_key(drivers.name, epoch)])
        order: list[str] = []

        def free() -> None:
            order.append("the server frees the lock")
            kept.execute("SELECT pg_advisory_unlock_all()")

        threading.Timer(1.0, free).start()
        first.tell(TrialValue(0, 0.5))
        order.append("the driver has told")
    assert order == ["the server frees the lock", "the driver has told"]
    assert "the server has not yet freed the lock" in drivers.said[0]


def test_a_commit_under_way_is_waited_for_by_the_one_who_takes_over(drivers: Drivers) -> None:
    """Raising the epoch and committing under it cannot pass each other: the row is locked until the commit."""
    first = drivers()
    order: list[str] = []

    def slow(*_: Any) -> None:
        # after the check, before the commit itself
        taker.start()
        time.sleep(1.0)
        order.append("committed")

    def take() -> None:
        take_over(drivers.url, drivers.name)
        order.append("taken over")

    taker = threading.Thread(target=take)
    engine = first._storage._backend.engine  # type: ignore[attr-defined]
    event.listen(engine, "commit", slow, once=True)
    first._study.set_user_attr("mine", 1)  # one transaction
    taker.join(timeout=120)
    assert order == ["committed", "taken over"]


def test_a_driver_has_one_connection_however_much_it_asks(drivers: Drivers) -> None:
    searcher = drivers()
    for proposal in searcher.ask(40):
        searcher.tell(TrialValue(proposal.number, 0.5))
    with psycopg.connect(drivers.url) as connection:
        count = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        ).fetchone()
    assert count == (1,)


@pytest.mark.parametrize("spelled", ["postgresql+psycopg", "postgres"])
def test_other_spellings_of_the_scheme_mean_the_same(drivers: Drivers, spelled: str) -> None:
    drivers().ask(1)
    drivers.url = drivers.url.replace("postgresql", spelled)
    with pytest.raises(StudyHeldError):
        drivers()
