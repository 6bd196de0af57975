"""The certificate of a study, on disk: whether its region is known to the accuracy that the study asked for."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gradstab.errors import StorageError
from gradstab.system.durable import replace_file

FILE_NAME = "certificate.json"


@dataclass(frozen=True)
class Condition:
    """One thing that must hold, and a sentence that says whether it does."""

    name: str
    holds: bool
    sentence: str


@dataclass(frozen=True)
class Certificate:
    """How far a study is from its `stop`.

    Attributes:
        certified: whether all conditions hold.
        error: the fraction of the search space that may be misclassified.
        misclassified_volume: the fraction that the model expects to be misclassified.
        num_trials: how many measured trials this follows from.
    """

    certified: bool
    error: float
    misclassified_volume: float
    num_trials: int
    conditions: tuple[Condition, ...]

    def verdict(self) -> str:
        """A sentence that says whether the study is certified, and if not, which conditions do not hold."""
        if self.certified:
            expected = f"{100 * self.misclassified_volume:.2g} % is expected to be"
            return (
                f"certified after {self.num_trials} trials: less than {100 * self.error:.2g} % of the space is "
                f"misclassified, {expected}"
            )
        failed = "; ".join(f"{one.name}: {one.sentence}" for one in self.conditions if not one.holds)
        return f"not certified after {self.num_trials} trials, because of {failed}"

    def dump(self) -> dict[str, Any]:
        """The certificate as JSON types."""
        return asdict(self)

    @staticmethod
    def load(content: dict[str, Any]) -> Certificate:
        """The inverse of dump()."""
        return Certificate(**{**content, "conditions": tuple(Condition(**one) for one in content["conditions"])})


def write_certificate(folder: Path, certificate: Certificate) -> None:
    """Write the certificate into a study's folder, durably."""
    replace_file(folder / FILE_NAME, json.dumps(certificate.dump(), indent=2), durable=True)


def read_certificate(folder: Path) -> Certificate | None:
    """The latest certificate in a study's folder, or None where the study has none.

    Raises:
        StorageError: the file does not hold a certificate.
    """
    path = folder / FILE_NAME
    try:
        return Certificate.load(json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{path} must hold a certificate as gradstab writes it, but: {error}") from None
