"""The board of slots: grouped by node and kind, rates from what was trained, gone with its driver."""

from __future__ import annotations

import json
import time

from gradstab.loop.ports import PackResult, Slot
from gradstab.loop.slot_board import FILE, SlotBoard, read_board
from gradstab.loop.trial import Trial
from gradstab.record.failure import Failure, FailureKind
from gradstab.study.recipe import Recipe
from tests.fakes_work import PlantedWork

A0, A1, B0 = Slot("cpu-0", node="a"), Slot("cpu-1", node="a"), Slot("cuda-0", "cuda", node="b")


def pack(count: int) -> tuple[Trial, ...]:
    return tuple(Trial(number, {}, Recipe(depth=2, steps=2), number) for number in range(count))


def test_groups_rates_losses_and_slots_that_left(tmp_path):
    board = SlotBoard()
    for slot, count in ((A0, 3), (A1, 5), (B0, 8)):
        board.record_start(slot, pack(count))
    board.record_end(PackResult(pack(3), A0, 0, 2000, PlantedWork().run(pack(3), A0)))
    board.record_end(PackResult(pack(5), A1, 0, 500, failure=Failure(FailureKind.WORKER_LOST, "it died")))
    board.record_start(A1, pack(5))
    board.save(tmp_path, [A0, A1])
    found = read_board(tmp_path)
    assert found is not None
    (group,) = found["groups"]
    assert (group["node"], group["kind"], group["slots"], group["busy"]) == ("a", "cpu", 2, 1)
    assert (group["in_flight"], group["done"], group["lost"]) == (5, 3, 1)
    assert group["trials_per_slot_second"] == 1.5
    assert found["gone"] == 1


def test_a_dead_driver_s_board_and_a_torn_one_say_nothing(tmp_path):
    assert read_board(tmp_path) is None
    SlotBoard().save(tmp_path, [A0])
    content = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**content, "time_ms": 1000 * (time.time() - 60)}))
    assert read_board(tmp_path) is None
    for torn in ("", "{", "[]", "{}", '{"time_ms": null}'):
        (tmp_path / FILE).write_text(torn)
        assert read_board(tmp_path) is None
