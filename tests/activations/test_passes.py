"""The passes of activations: right for small numbers too, the same bits wherever a number stands, a version each."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from gradstab.activations.activation import Activation, Passes, ScalarFunction, Until
from gradstab.activations.registry import find_activation, passes_of
from tests.without_avx512 import without_avx512

ROOT = Path(__file__).parents[2]
SMALLEST, LARGEST = 1.2e-38, 100.0  # smaller numbers are denormal, and flushed to zero
TANH = find_activation("tanh")


def phi(passes: Passes, z: np.ndarray) -> np.ndarray:
    """The values that an activation's passes give, in place."""
    given = torch.from_numpy(z.copy())
    passes.apply(given, given)
    return given.numpy()


@pytest.mark.parametrize("began_in", ["0.1.0", "0.2.0"])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_tanh_is_right_to_1e6_of_its_value_however_small(began_in: str, sign: float):
    z = (sign * np.geomspace(SMALLEST, LARGEST, 1_000_003)).astype(np.float32)
    np.testing.assert_allclose(phi(passes_of(TANH, began_in), z), np.tanh(z.astype(np.float64)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("began_in", ["0.1.0", "0.2.0"])
def test_tanh_in_double_precision_is_right_to_1e14(began_in: str):
    z = np.geomspace(1e-300, LARGEST, 100_003)
    exact = np.tanh(z.astype(np.longdouble)).astype(np.float64)
    np.testing.assert_allclose(phi(passes_of(TANH, began_in), z), exact, rtol=1e-14, atol=0)


@pytest.mark.parametrize("began_in", ["0.1.0", "0.2.0"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_tanh_of_what_is_not_finite(began_in: str, kind: type[np.floating]):
    z = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, np.finfo(kind).max], kind)
    found = phi(passes_of(TANH, began_in), z)
    np.testing.assert_array_equal(found, np.array([np.nan, 1, -1, 0, 0, 1], kind))
    np.testing.assert_array_equal(np.signbit(found[3:5]), [False, True])


def assert_place_does_not_matter() -> None:
    """Assert that tanh of a number has the same bits at every place of a buffer, whatever stands beside it."""
    passes = passes_of(TANH)
    rng = np.random.default_rng(1)
    for kind in (np.float32, np.float64):
        z = (rng.standard_normal(131) * 10.0 ** rng.uniform(-30, 1, 131)).astype(kind)
        z[[5, 40, 77, 100]] = [np.nan, np.inf, -np.inf, 0]
        alone = np.concatenate([phi(passes, z[index : index + 1]) for index in range(len(z))])
        for offset in range(65):
            for length in (1, 2, 3, 7, 15, 17, 31, 33, 63, 65, 127, 131):
                buffer = torch.zeros(offset + length, dtype=torch.from_numpy(z).dtype)
                place = buffer[offset:]
                place.copy_(torch.from_numpy(z[:length]))
                out = torch.zeros(2 * offset + length, dtype=place.dtype)[2 * offset :]  # aligned in another way
                passes.apply(place, out)
                passes.apply(place, place)
                assert out.numpy().tobytes() == alone[:length].tobytes(), (kind, offset, length)
                assert place.numpy().tobytes() == alone[:length].tobytes(), (kind, offset, length)
        rows = torch.from_numpy(np.stack([z, z[::-1]]))[:, 3:50]  # rows apart from one another
        passes.apply(rows, rows)
        assert rows[0].numpy().tobytes() == alone[3:50].tobytes()
        assert rows[1].numpy().tobytes() == alone[::-1][3:50].tobytes()


def test_tanh_of_a_number_has_the_same_bits_at_every_place_of_a_buffer():
    assert_place_does_not_matter()


def test_they_are_the_same_on_the_kernels_of_avx2():
    code = (
        "from numpy._core._multiarray_umath import __cpu_features__\n"
        "from tests.activations.test_passes import *\n"
        "assert not __cpu_features__.get('X86_V4') and not __cpu_features__.get('AVX512_SKX')\n"
        "assert_place_does_not_matter()\n"
        "for sign in (-1.0, 1.0):\n"
        "    test_tanh_is_right_to_1e6_of_its_value_however_small('0.2.0', sign)\n"
        "test_tanh_in_double_precision_is_right_to_1e14('0.2.0')\n"
        "for kind in (np.float32, np.float64):\n"
        "    test_tanh_of_what_is_not_finite('0.2.0', kind)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, **without_avx512()},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_study_keeps_the_passes_of_the_version_in_which_it_began():
    made = {name: partial(Passes, _nothing, _nothing, max_slope=slope) for name, slope in (("old", 1), ("middle", 2), ("new", 3))}  # fmt: skip
    activation = Activation(
        _no_theory, made["new"], earlier=(Until("0.2.0", made["old"]), Until("0.10.0", made["middle"]))
    )
    began: list[str | None] = ["0.1.0", "0.1.9", "0.2.0", "0.9.0", "0.10.0", "1.0.0", None]
    assert [passes_of(activation, version).max_slope for version in began] == [1, 1, 2, 2, 3, 3, 3]


def _nothing(first: object, second: object) -> None:
    del first, second


def _no_theory() -> ScalarFunction:
    raise AssertionError("training asks no theory")
