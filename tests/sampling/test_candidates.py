"""The kept-up posterior against surrogates made anew."""

from __future__ import annotations

import numpy as np
import pytest

from gradstab.regression.fitting import fit_surrogate
from gradstab.regression.surrogate import Posterior
from gradstab.sampling.candidates import Candidates
from tests import problems


def close(found: Posterior, expected: Posterior) -> None:
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-8)
    np.testing.assert_allclose(found.sd, expected.sd, atol=1e-7)


@pytest.mark.parametrize(("reserve", "many"), [(3, 600), (256, 600), (3, 60)])
def test_telling_believing_and_picking_agree_with_surrogates_made_anew(
    monkeypatch: pytest.MonkeyPatch, reserve: int, many: int
):
    monkeypatch.setattr("gradstab.sampling.candidates._ROOM", reserve)
    monkeypatch.setattr("gradstab.sampling.candidates._MANY_TRIALS", many)
    problem = problems.theory_4d().noisy(0.2)
    unit_ND = problem.coordinates.snapped(problem.coordinates.sobol(7, 0))
    response_N = problem.measure(unit_ND, np.random.default_rng(0))["R"]
    surrogate = fit_surrogate(problem.coordinates, unit_ND[:60], response_N[:60], problems.RATIO)
    pool_CD = problem.coordinates.snapped(problem.coordinates.sobol(6, 1))
    candidates = Candidates(surrogate, pool_CD)
    close(candidates.posterior, surrogate.posterior(pool_CD))

    for start in (60, 68):
        told, running = slice(start, start + 8), slice(start + 8, start + 12)
        candidates.tell(unit_ND[told], response_N[told])
        surrogate = surrogate.extended(unit_ND[told], response_N[told])
        close(candidates.posterior, surrogate.posterior(pool_CD))
        candidates.believe(unit_ND[running])
        close(candidates.posterior, surrogate.extended(unit_ND[running]).posterior(pool_CD))
        picks = []
        for _ in range(5):
            picks.append(int(np.argmax(candidates.posterior.sd)))
            candidates.pick(picks[-1])
        beliefs_KD = np.concatenate([unit_ND[running], pool_CD[picks]])
        close(candidates.posterior, surrogate.extended(beliefs_KD).posterior(pool_CD))
        assert len(set(picks)) == 5
