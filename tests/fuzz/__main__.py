"""`python -m tests.fuzz --count 200000`: hostile cases in this process; the seed repeats a run."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.fuzz.cases import check_case, make_case

SHOWN_FAILURES = 10


def main() -> int:
    parser = argparse.ArgumentParser(description="hostile study files and settings")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    asked = parser.parse_args()
    logging.disable()  # python-dotenv's word on lines that it skips
    counts: Counter[tuple[str, str]] = Counter()
    failures: list[str] = []
    slowest = (0.0, 0)
    begin = time.process_time()
    with tempfile.TemporaryDirectory(prefix="gradstab-fuzz-") as folder:
        for index in range(asked.count):
            case = make_case(Random(f"{asked.seed}:{index}"))
            started = time.process_time()
            try:
                outcome = check_case(case, Path(folder))
            except AssertionError as error:
                outcome = "BROKEN"
                failures.append(f"case {index} of seed {asked.seed}: {error}")
            slowest = max(slowest, (time.process_time() - started, index))
            counts[case.kind, outcome] += 1
    for failure in failures[:SHOWN_FAILURES]:
        print(failure[:3000], end="\n\n")
    for (kind, outcome), count in sorted(counts.items()):
        print(f"{kind:8} {outcome:8} {count}")
    seconds = time.process_time() - begin
    print(f"{asked.count} cases, seed {asked.seed}, {len(failures)} broken, {seconds:.0f} s CPU; slowest {slowest[0]:.2f} s (case {slowest[1]})")  # fmt: skip
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
