"""`gradstab status --watch` in a real terminal: what slots do, redrawn in place without a blank moment."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gradstab.loop.ports import PackResult, Slot
from gradstab.loop.slot_board import Pace, SlotBoard
from gradstab.loop.trial import Trial
from gradstab.study.recipe import Recipe
from tests.report.planted import plant

PACK = tuple(Trial(number, {}, Recipe(depth=2, steps=2), number) for number in range(7))
FIRST, SECOND, GPU = Slot("cpu-0", node="node-a"), Slot("cpu-1", node="node-b"), Slot("cuda-0", "cuda", node="node-b")


def read_until(terminal: int, there: Callable[[str], bool], seconds: float = 100.0) -> str:
    shown = b""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not there(shown.decode(errors="replace")):
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # the program has ended
                break
    return shown.decode()


def test_slots_are_shown_by_node_and_kind_and_redrawn_in_place(tmp_path: Path) -> None:
    folder = plant(tmp_path, trials=20)
    board = SlotBoard()
    board.record_start(FIRST, PACK)
    board.follow({FIRST.name: 0.25})
    ended = threading.Event()

    def drive() -> None:
        while not ended.wait(0.2):
            board.save(folder.path, [FIRST, SECOND, GPU], Pace(0.385, 0.5, 70.0))

    driver, window = pty.openpty()
    fcntl.ioctl(window, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
    thread = threading.Thread(target=drive)
    with folder.locked():
        thread.start()
        command = [sys.executable, "-m", "gradstab", "status", "planted", "--results", str(tmp_path), "--watch"]
        process = subprocess.Popen(command, stdin=window, stdout=window, stderr=window, start_new_session=True)
        os.close(window)
        try:
            shown = read_until(driver, lambda text: text.count("\x1b[J") > 1)
            board.record_end(PackResult(PACK, FIRST, 0, 1000, [], None))
            board.record_start(GPU, PACK)
            later = read_until(driver, lambda text: "cuda  1/1" in text)
        finally:
            ended.set()
            thread.join()
    last = read_until(driver, lambda _: False)
    os.close(driver)
    assert process.wait(timeout=150) == 0
    _, *frames = (shown + later + last).split("\x1b[H")
    frames = [frame for frame in frames if frame.strip()]
    assert len(frames) >= 3
    assert "\x1b[2J" not in (shown + later + last).partition("\x1b[J")[2], "cleared once, before the first frame"
    first, second = (next(frame for frame in frames if row in frame) for row in ("cpu   1/1", "cuda  1/1"))
    assert "this run: 38 % | 30.0/min | 1:10 left" in first
    cells = {tuple(line.replace("\x1b[K", "").split()[:6]) for line in first.splitlines()}
    assert {("node-a", "cpu", "1/1", "7", "25", "%"), ("node-b", "cpu", "0/1", "0", "0", "%")} <= cells
    cells = {tuple(line.replace("\x1b[K", "").split()[:8]) for line in second.splitlines()}
    assert ("node-a", "cpu", "0/1", "0", "0", "%", "7", "7") in cells
    for frame in frames[1:]:
        body = frame.partition("\x1b[J")[0]
        assert all(line.endswith("\x1b[K") for line in body.splitlines() if line), "a shorter line leaves no rest"
