"""The certificate: whether a region is known to within a stated error. Three conditions must hold.

On a boundary that is rough at every scale, a model's own error estimate can certify a wrong region. Therefore there
are *audits*: uniform trials whose forecast of p_region is frozen before they run and is compared with their result.
Also the fitted noise is compared with the noise between trainings of the same point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import chdtri

from gradstab.record.certificate import Certificate, Condition

NUM_AUDITS = 60  # the latest ones count
LOOK_EVERY = 20  # audits between two checks: a check after every audit would certify by luck sooner or later
MOST_ERRORS = 2
UNSURE = (0.05, 0.95)  # forecasts outside are confident
REPLICATED_POINTS = 20
TRAININGS_A_POINT = 3
NOISE_FACTOR = 2.0
_NEGLIGIBLE_NOISE = 0.05  # in units of the response: smaller noise moves no boundary by as much as 60 audits could see


@dataclass(frozen=True)
class Audit:
    """A uniform trial with a forecast that was made before it ran.

    Attributes:
        p_region: the forecast.
        expected_error: the misclassified volume that the model expected when it made the forecast.
        inside: whether every response of the result lay in its band.
    """

    p_region: float
    expected_error: float
    inside: bool

    @property
    def wrong(self) -> bool:
        """Whether a confident forecast failed."""
        return self.p_region < UNSURE[0] if self.inside else self.p_region > UNSURE[1]


@dataclass(frozen=True)
class NoiseCheck:
    """Noise of one response in its unit: as fitted, and measured over points trained several times.

    Attributes:
        degrees_of_freedom: of the pooled noise: trainings beyond the first of each point.
    """

    response: str
    fitted: float
    pooled: float
    degrees_of_freedom: int

    @property
    def agrees(self) -> bool:
        """Whether both certainly agree within a factor of 2, or both are too small to matter.

        Certainly means at both ends of the 90 % interval of the pooled noise, which comes from few trainings. (On a
        boundary that is rough at every scale the fitted noise is only a little more than twice too large.)
        """
        if self.degrees_of_freedom < 1:
            return False
        # chi-squared quantiles at 95 % and 5 %
        low, high = (
            self.pooled * math.sqrt(self.degrees_of_freedom / float(chdtri(self.degrees_of_freedom, tail)))
            for tail in (0.05, 0.95)
        )
        fitted = max(self.fitted, _NEGLIGIBLE_NOISE)
        return max(high, _NEGLIGIBLE_NOISE) / NOISE_FACTOR <= fitted <= NOISE_FACTOR * max(low, _NEGLIGIBLE_NOISE)


def certify(
    error: float,
    misclassified_volume: float,
    num_trials: int,
    audits: Sequence[Audit],
    noise: Sequence[NoiseCheck],
    num_replicated: int,
) -> Certificate:
    """The certificate of a model, from its audits and noises.

    Args:
        error: the error that was asked for.
        audits: in the order of their numbers. Forecasts made before the expected error first fell below twice `error`
            do not count.
        num_replicated: audit points trained at least three times.
    """
    conditions = (
        _volume_condition(error, misclassified_volume, num_trials),
        _audit_condition(error, audits),
        _noise_condition(noise, num_replicated),
    )
    return Certificate(
        all(condition.holds for condition in conditions), error, misclassified_volume, num_trials, conditions
    )


def _volume_condition(error: float, volume: float, num_trials: int) -> Condition:
    sentence = f"{100 * volume:.2g} % of the space is expected to be misclassified after {num_trials} trials"
    # NaN fails this comparison
    return Condition("misclassified volume", volume < error, f"{sentence}; it must be below {100 * error:.2g} %.")


def _audit_condition(error: float, audits: Sequence[Audit]) -> Condition:
    first = next((index for index, audit in enumerate(audits) if audit.expected_error < 2 * error), len(audits))
    counted = audits[first:]
    looked_at = counted[: len(counted) // LOOK_EVERY * LOOK_EVERY][-NUM_AUDITS:]
    name = "audits"
    if len(looked_at) < NUM_AUDITS:
        start = f"less than {200 * error:.2g} % is expected to be misclassified"
        stands = f"{len(counted)} uniform trials were forecast since {start}; {NUM_AUDITS} are needed."
        return Condition(name, False, stands if counted else f"no forecast counts until {start}.")
    wrong = sum(audit.wrong for audit in looked_at)
    confident = sum(not UNSURE[0] <= audit.p_region <= UNSURE[1] for audit in looked_at)
    return Condition(
        name,
        wrong <= MOST_ERRORS,
        f"of the latest {NUM_AUDITS} uniform trials {confident} were forecast with confidence, {wrong} of them "
        f"wrongly; at most {MOST_ERRORS} may be.",
    )


def _noise_condition(noise: Sequence[NoiseCheck], num_replicated: int) -> Condition:
    name = "noise"
    if num_replicated < REPLICATED_POINTS or not noise:
        return Condition(
            name,
            False,
            f"{num_replicated} audit points were trained {TRAININGS_A_POINT} times; {REPLICATED_POINTS} are needed.",
        )
    stands = "; ".join(
        f"{check.response} {check.fitted:.2g} fitted, {check.pooled:.2g} between trainings" for check in noise
    )
    return Condition(
        name,
        all(check.agrees for check in noise),
        f"noise in units of the band: {stands}; they must certainly agree within a factor of {NOISE_FACTOR:g}.",
    )
