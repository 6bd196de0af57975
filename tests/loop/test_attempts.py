"""The attempt log isolates a poisonous trial by halving, loses nothing over restarts, and convicts no innocent."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gradstab.loop.attempts import AttemptLog
from gradstab.record.failure import Failure, FailureKind

LOST = Failure(FailureKind.WORKER_LOST)
NODE_LOST = Failure(FailureKind.NODE_LOST, "host")


def test_a_pack_is_halved_after_two_losses_and_at_each_one_after(tmp_path):
    log = AttemptLog(tmp_path / "attempts.jsonl")
    log.record_failure(range(8), LOST)
    assert log.largest_pack(0) is None
    log.record_failure(range(8), LOST)
    assert log.largest_pack(0) == 4
    log.record_failure(range(4), LOST)
    assert (log.largest_pack(0), log.largest_pack(7)) == (2, 4)
    assert log.attempts(0) == 3


def test_losses_survive_the_driver_and_a_torn_line(tmp_path):
    path = tmp_path / "attempts.jsonl"
    AttemptLog(path).record_failure([1, 2], LOST)
    with path.open("a") as file:
        file.write('{"numbers": [1, 2], "rea')
    AttemptLog(path).record_failure([1, 2], LOST)
    assert AttemptLog(path).attempts(1) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(size=st.integers(1, 64), poisons=st.sets(st.integers(0, 63), min_size=1, max_size=3))
def test_only_the_poisonous_are_convicted(tmp_path_factory, size, poisons):
    poisons = {poison % size for poison in poisons}
    log = AttemptLog(tmp_path_factory.mktemp("attempts") / "attempts.jsonl")
    queue, survivors, convicted, losses = list(range(size)), set(), set(), 0
    while queue:
        pack = queue[: log.largest_pack(queue[0]) or len(queue)]
        queue = queue[len(pack) :]
        if not poisons & set(pack):
            survivors |= set(pack)
            continue
        losses += 1
        log.record_failure(pack, LOST)
        convicted |= {number for number in pack if log.has_failed(number)}
        queue = [number for number in pack if number not in convicted] + queue
    assert convicted == poisons
    assert survivors == set(range(size)) - poisons
    assert losses <= 2 + len(poisons) * (size.bit_length() + 3)


def test_a_pack_that_hung_or_exhausted_memory_is_halved_at_once(tmp_path):
    for kind in (FailureKind.HUNG, FailureKind.OUT_OF_MEMORY):
        log = AttemptLog(tmp_path / kind)
        log.record_failure([1, 2, 3, 4], Failure(kind, "no result within 120 s"))
        assert log.largest_pack(1) == 2
        assert log.attempts(1) == 1
        assert AttemptLog(tmp_path / kind).largest_pack(4) == 2  # and after a restart


def test_machines_that_go_away_fail_nobody_unless_they_do_again_and_again(tmp_path):
    log = AttemptLog(tmp_path / "attempts.jsonl")
    for _ in range(3):
        log.record_failure([7], NODE_LOST)
    assert (log.attempts(7), log.has_failed(7), log.largest_pack(7)) == (0, False, None)
    for _ in range(2):
        log.record_failure([7], NODE_LOST)
    assert log.has_failed(7)
