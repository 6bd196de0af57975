"""What a study recommends is said in whole English sentences, whatever its search left open."""

from collections.abc import Mapping, Sequence

import pytest

from gradstab.results.recommending.safe_end_words import end_sentences
from gradstab.results.region_words import advice
from gradstab.stability.region_at import RegionAt
from gradstab.stability.safe_end import SafeEnd
from gradstab.stability.spans import Line, Span
from gradstab.study.axes import Value

Ends = tuple[float, float, bool, bool]

WHOLE = (0.5, 4.0, True, True)
LOWER = (0.5, 1.5, True, False)
UPPER = (0.81, 4.0, False, True)
INNER = (0.9, 1.5, False, False)


def span(low: float, high: float, low_open: bool, high_open: bool) -> Span:
    return Span(low, (low + high) / 2, high, low_open, high_open, None, None, 1.0, 1.0, 1.0)


def line(
    safe: Sequence[Ends] = (),
    region: Sequence[Ends] = (),
    held: Mapping[str, Value] | None = None,
    axis: str = "init_scale",
) -> Line:
    fixed: dict[str, Value] = {"depth": 8} if held is None else dict(held)
    return Line(axis, fixed, tuple(span(*each) for each in region), tuple(span(*each) for each in safe), 1.2, 0.8)


def answer(*lines: Line, point: dict[str, Value], chosen: Sequence[str] = ()) -> RegionAt:
    """An answer at a point of which all axes were given but the init scale and the chosen ones."""
    given = {name: value for name, value in point.items() if name not in ("init_scale", *chosen)}
    return RegionAt(
        at=given, point=point, p_next=0.97, p_region=0.99, safe_share=0.5, lines=lines, cliff=None, nearest=()
    )


@pytest.mark.parametrize(
    ("safe", "told"),
    [
        ([WHOLE], "any init scale is safe (95 % of trainings succeed). Best: 1.2."),
        ([UPPER], "init scale from 0.81 on is safe (95 % of trainings succeed). Best: 1.2."),
        ([LOWER], "init scale up to 1.5 is safe (95 % of trainings succeed). Best: 1.2."),
        ([INNER], "use init scale 0.9-1.5 (95 % of trainings succeed). Best: 1.2."),
        ([LOWER, (2.0, 4.0, False, True)], "init scale up to 1.5 or from 2 on is safe (95 % of trainings succeed). Best: 1.2."),
    ],
)  # fmt: skip
def test_what_is_safe(safe, told):
    assert advice(answer(line(safe), point={"depth": 8, "init_scale": 1.2})) == [f"At depth 8, {told}"]


@pytest.mark.parametrize(
    ("region", "told"),
    [
        ([WHOLE], " The median training succeeds at any init scale."),
        ([UPPER], " The median training succeeds at init scale from 0.81 on."),
        ([INNER], " The median training succeeds at init scale 0.9-1.5."),
        ([], None),
    ],
)
def test_what_is_not_safe(region, told):
    best = "1.2 is best, where 80 % of trainings succeed."
    found = advice(answer(line(region=region), point={"depth": 8, "init_scale": 1.2}))
    kind = "stable" if told is None else "safe"
    assert found == [f"At depth 8, no init scale is {kind}: {best}{told or ''}"]


def test_without_a_place_the_sentence_begins_with_what_to_do():
    assert advice(answer(line([WHOLE]), point={"init_scale": 1.2}))[0].startswith("Any init scale is safe")
    assert advice(answer(line([INNER], axis="learning_rate"), point={"learning_rate": 1.2}))[0].startswith(
        "Use learning rate 0.9-1.5"
    )


def test_each_choice_that_is_left_open_has_its_line():
    lines = [line([WHOLE], held={"activation": "tanh"}), line([INNER], held={"activation": "relu"})]
    found = answer(*lines, point={"activation": "relu", "init_scale": 1.2}, chosen=["activation"])
    assert advice(found) == [
        "It depends on activation:",
        "- tanh: any init scale is safe (95 % of trainings succeed). Best: 1.2.",
        "- relu: use init scale 0.9-1.5 (95 % of trainings succeed). Best: 1.2.",
    ]


PLACE: dict[str, Value] = {"depth": 2, "clip": True}


@pytest.mark.parametrize(
    ("chosen", "where"),
    [
        ([], "At depth 2 with clip on, "),
        (["clip"], "At depth 2 (with clip on, where it is safest), "),
        (["depth"], "With clip on (at depth 2, where it is safest), "),
        (["depth", "clip"], "At depth 2 with clip on, where it is safest, "),
    ],
)
def test_a_place_that_was_not_asked_for_is_said_to_be_the_safest(chosen, where):
    held = line([INNER], held=PLACE)
    assert advice(answer(held, point={**PLACE, "init_scale": 1.2}, chosen=chosen))[0].startswith(f"{where}use init")


@pytest.mark.parametrize(
    ("given", "where"),
    [
        (["depth", "clip"], " at depth 2, clip on: "),
        (["depth"], " at depth 2 (clip on, where it is safest): "),
        ([], " at depth 2, clip on, where it is safest: "),
    ],
)
def test_the_largest_value_says_which_place_was_chosen(given, where):
    end = SafeEnd("learning_rate", PLACE, 0.01, 0.15, 0.1, 0.2, False, False, (), 0.1, 0.99)
    assert end_sentences(end, 40, given)[0].startswith(f"Largest safe learning rate{where}0.15")


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.1, 0.2, "90 % interval 0.1 to 0.2"),
        (0.1, None, "90 % interval: 0.1 or more"),
        (None, 0.2, "90 % interval: 0.2 or less, perhaps none"),
        (None, None, "90 % interval: the trials leave it open"),
    ],
)
def test_an_end_that_the_trials_leave_open(low, high, told):
    end = SafeEnd("learning_rate", {}, 0.01, 0.15, low, high, False, False, (), 0.1, 0.99)
    assert end_sentences(end, 40, ()) == [f"Largest safe learning rate: 0.15 ({told}, from 40 trials)."]
