"""The contracts of training on other kernels than those of this run: a processor's own, and those without AVX-512."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.without_avx512 import without_avx512

ROOT = Path(__file__).parents[2]
TESTS = [
    "tests/training/test_trainer.py::test_packs_of_1_7_and_32_are_bit_equal[37-odd_data]",
    "tests/training/test_trainer.py::test_a_pack_of_one_is_bit_equal_whatever_the_settings",
    "tests/training/test_trainer.py::test_a_diverging_member_stops_and_the_others_keep_their_bits",
    "tests/training/test_work.py::test_results_do_not_depend_on_what_ran_in_the_process_before",
    "tests/training/test_golden_trajectories.py",
]
CHILD = """
import sys, numpy, pytest, torch
print("kernels:", torch.backends.cpu.get_cpu_capability(), flush=True)
print("tanh:", numpy.lib.introspect.opt_func_info("^tanh$", "float32")["tanh"], flush=True)
sys.exit(pytest.main(["-p", "no:cacheprovider", *sys.argv[1:]]))
"""


def _done(environment: dict[str, str]) -> str:
    """What the child says whose kernels the environment chooses."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "OPENBLAS_"))}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *TESTS],
        cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "failed" not in done.stdout
    return done.stdout


def test_bits_are_equal_in_any_pack_and_golden_trainings_come_out_on_the_kernels_of_avx2():
    said = _done(without_avx512())
    assert re.search("kernels: (AVX2|DEFAULT)", said), "DEFAULT where the processor has none"
    assert not re.search("tanh: .*'current': '(X86_V4|AVX512)", said), said[:500]


@pytest.mark.skipif(
    not any(name.startswith("OPENBLAS_") for name in os.environ), reason="this run has the processor's own kernels"
)
def test_bits_are_equal_in_any_pack_and_golden_trainings_come_out_on_the_processor_s_own_kernels():
    _done({})
