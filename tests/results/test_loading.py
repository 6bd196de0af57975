"""`load_results` from a folder: a criterion as a dictionary, and one with faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from gradstab import Criterion, load_results
from gradstab.errors import UsageError

GOLDEN = Path(__file__).parent.parent / "golden" / "study-0.1.0" / "results"


def test_a_criterion_may_be_a_dictionary():
    found = load_results(GOLDEN, criterion={"ratio_band": 0.5})
    assert found.criterion == Criterion(ratio_band=0.5)
    assert list(found.trials["verdict"]) == list(
        load_results(GOLDEN, criterion=Criterion(ratio_band=0.5)).trials["verdict"]
    )


@pytest.mark.parametrize(
    ("criterion", "sentences"),
    [
        ({"ratio_bnd": 0.5}, ["criterion.ratio_bnd", "did you mean 'ratio_band'"]),
        ({"responses": ["Q"]}, ["criterion.responses.0: a response must be one of"]),
        (
            {"ratio_band": -1, "responses": []},
            ["criterion.responses must have at least 1, got 0", "criterion.ratio_band must be"],
        ),
        ("R", ["criterion"]),
    ],
)
def test_a_criterion_with_faults_ends_in_one_sentence_for_each(criterion, sentences):
    with pytest.raises(UsageError) as raised:
        load_results(GOLDEN, criterion=criterion)
    found = str(raised.value).split("; ")
    assert len(found) == len(sentences), found
    assert all(start in sentence for start, sentence in zip(sentences, found, strict=True)), found


def test_the_accuracy_of_a_trial_is_that_of_its_last_probe():
    found = load_results(GOLDEN)
    told = found.trials["accuracy"].dropna()
    arrays = {number: found.trajectory(int(number))["accuracy"] for number in told.index}
    assert told.tolist() == pytest.approx([float(accuracy_P[-1]) for accuracy_P in arrays.values()])
    assert any(accuracy_P[-1] != accuracy_P[-2] for accuracy_P in arrays.values()), "or the test would say nothing"
