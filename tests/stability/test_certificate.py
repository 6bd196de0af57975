"""The certificate: each condition fails by itself, luck is not looked for, and the file survives a round trip."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradstab.errors import StorageError
from gradstab.record.certificate import FILE_NAME, Certificate, Condition, read_certificate, write_certificate
from gradstab.stability.certificate import Audit, NoiseCheck, certify

RIGHT, WRONG, UNSURE = Audit(0.99, 0.01, True), Audit(0.99, 0.01, False), Audit(0.7, 0.01, False)
EARLY = Audit(0.99, 0.3, False)
AGREES = (NoiseCheck("R", 0.2, 0.3, 40),)


def made(volume: float = 0.01, audits: list[Audit] | None = None, noise=AGREES, num_replicated: int = 20):
    return certify(0.02, volume, 300, [RIGHT] * 60 if audits is None else audits, noise, num_replicated)


def failing(certificate: Certificate) -> list[str]:
    assert certificate.certified == all(condition.holds for condition in certificate.conditions)
    return [condition.name for condition in certificate.conditions if not condition.holds]


def test_all_conditions_together_certify():
    certificate = made()
    assert certificate.certified
    assert (certificate.error, certificate.misclassified_volume, certificate.num_trials) == (0.02, 0.01, 300)


@pytest.mark.parametrize("volume", [0.02, 0.5, math.nan, math.inf])
def test_a_volume_that_is_not_below_the_error_fails(volume: float):
    assert failing(made(volume)) == ["misclassified volume"]


@pytest.mark.parametrize(
    ("audits", "holds"),
    [
        ([RIGHT] * 58 + [WRONG] * 2, True),
        ([RIGHT] * 57 + [WRONG] * 3, False),
        ([RIGHT] * 59, False),
        ([UNSURE] * 60, True),  # errors are those of confident forecasts alone
        ([Audit(0.01, 0.01, True)] * 3 + [RIGHT] * 57, False),
        ([EARLY] * 50 + [RIGHT] * 60, True),  # forecasts before the model was any good are not held against it
        ([EARLY] * 50 + [RIGHT] * 10, False),  # nor for it
        ([WRONG] * 20 + [RIGHT] * 60, True),  # the latest 60
        ([WRONG] * 20 + [RIGHT] * 59, False),  # but looked at every 20 only: still the first 60
        ([RIGHT] * 60 + [WRONG] * 19, True),
        ([RIGHT] * 60 + [WRONG] * 20, False),
        ([RIGHT] * 10 + [Audit(0.99, 0.3, True)] * 20 + [RIGHT] * 30, True),  # counted from the first time on
    ],
)
def test_audits(audits: list[Audit], holds: bool):
    assert failing(made(audits=audits)) == ([] if holds else ["audits"])


@pytest.mark.parametrize(
    ("fitted", "pooled", "freedom", "holds"),
    [(0.2, 0.2, 40, True), (0.2, 0.41, 40, False), (0.41, 0.2, 40, False), (0.001, 0.0, 40, True),
     (0.2, 0.0, 0, False), (math.nan, 0.2, 40, False), (0.2, math.nan, 40, False), (math.inf, 0.2, 40, False),
     (0.2, math.inf, 40, False), (0.32, 0.2, 40, True), (0.38, 0.2, 40, False), (0.38, 0.2, 4000, True),
     (0.13, 0.2, 40, True), (0.11, 0.2, 40, False), (0.11, 0.2, 4000, True), (0.2, 0.2, 1, False)],
)  # fmt: skip
def test_noise(fitted: float, pooled: float, freedom: int, holds: bool):
    checks = (*AGREES, NoiseCheck("T", fitted, pooled, freedom))
    assert failing(made(noise=checks)) == ([] if holds else ["noise"])


def test_noise_of_too_few_points_fails():
    assert failing(made(num_replicated=19)) == ["noise"]
    assert failing(made(noise=())) == ["noise"]


@given(st.floats(0, 1), st.booleans())
def test_an_audit_is_wrong_only_where_it_was_sure(p_region: float, inside: bool):
    assert Audit(p_region, 0.0, inside).wrong == (p_region < 0.05 if inside else p_region > 0.95)


def test_the_file_survives_a_round_trip_and_has_the_agreed_fields(tmp_path):
    assert read_certificate(tmp_path) is None
    certificate = made(0.5)
    write_certificate(tmp_path, certificate)
    assert read_certificate(tmp_path) == certificate
    content = json.loads((tmp_path / FILE_NAME).read_text())
    assert list(content) == ["certified", "error", "misclassified_volume", "num_trials", "conditions"]
    assert [list(condition) for condition in content["conditions"]] == [["name", "holds", "sentence"]] * 3


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"certified": true, "conditions": []}'])
def test_a_file_that_is_none_is_said(tmp_path, text: str):
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(StorageError, match="must hold a certificate"):
        read_certificate(tmp_path)


def test_a_condition_is_a_sentence():
    for certificate in (made(), made(0.5, [], (), 0), made(audits=[RIGHT])):
        for condition in certificate.conditions:
            assert isinstance(condition, Condition)
            assert condition.sentence.endswith(".")


def test_the_verdict_names_what_failed():
    assert made().verdict() == (
        "certified after 300 trials: less than 2 % of the space is misclassified, 1 % is expected to be"
    )
    assert made(audits=[]).verdict().startswith("not certified after 300 trials, because of audits: no forecast counts")
    assert "noise: 3 audit points were trained 3 times" in made(0.5, num_replicated=3).verdict()
