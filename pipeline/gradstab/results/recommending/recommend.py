"""Puts the recommendation of a study together: the place, the figures, the sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from gradstab.display.numbers import name_text
from gradstab.display.table import WIDTH, table_text, wrapped
from gradstab.errors import UsageError
from gradstab.results.recommending.clip_advice import ClipAdvice, clip_advice
from gradstab.results.recommending.clip_words import clip_sentences, clip_tables
from gradstab.results.recommending.lacking_trials import (
    LEARNING_RATE,
    LackingTrials,
    clipping_unknown,
    end_not_reached,
    not_varied,
    planned,
    too_few,
    too_uncertain,
)
from gradstab.results.recommending.recommendation import Recommendation
from gradstab.results.recommending.safe_end_words import end_sentences, move_rows, move_sentence, safe_sentence
from gradstab.results.region_words import advice, basis_text
from gradstab.stability.intervals import DEPTH, SCALES
from gradstab.stability.region_at import RegionAt, region_at
from gradstab.stability.safe_end import DrawnLines, SafeEnd, safe_end
from gradstab.stability.safe_end_moves import Move, moves
from gradstab.study.axes import Value
from gradstab.study.did_you_mean import nearest
from gradstab.study.recipe import conditions, idle

if TYPE_CHECKING:
    from gradstab.results.results import Results

WEIGHT_SCALE = "weight_scale"  # the initial scale of a user's module
_NOT_JUDGED = (
    "The largest safe learning rate is not known: the study counts R alone, which is read before training. Count T, "
    "too, with criterion.responses [R, T]; a loss that is neither cross-entropy nor a squared error takes "
    "reference_loss and target_loss of Model."
)


def recommend(results: Results, largest: str | None, at: Mapping[str, Value]) -> Recommendation:
    """What the study says of an axis, of clipping, of the initial scale and of depth.

    Args:
        largest: the axis whose largest safe value is asked for; the learning rate where the study varies it.
        at: values of other axes, by name.

    Raises:
        UsageError: no such axis, a value that was not searched, or no measured trial.
    """
    axis = _axis(results, largest, at)
    found = region_at(results.estimator, at, results.measured.points, results.constants)
    end: SafeEnd | None = None
    moved: tuple[Move, ...] = ()
    needs: list[LackingTrials | None] = []
    if axis is not None and (lacking_all := too_few(results, axis)) is not None:
        needs.append(lacking_all)
    elif axis is not None:
        place = _place(results, axis, found)
        drawn = DrawnLines(results.estimator, axis, [place])
        end, moved = safe_end(results.estimator, axis, place, drawn), tuple(moves(results.estimator, axis, place))
        needs += [end_not_reached(results, end) if end.high_open else too_uncertain(results, end, drawn)]
    elif (
        results.study.least_steps > 0
        and LEARNING_RATE not in results.study.space.names()
        and not _judges_before_training(results)
    ):
        needs.append(not_varied(results))
    clip = clip_advice(results, at)
    needs.append(None if clip is None else clipping_unknown(results, clip))
    lacking = tuple(need for need in needs if need is not None and _is_possible(results, need))
    sentences = (
        *_end_words(results, end, moved, found.at),
        *(() if clip is None else clip_sentences(clip)),
        *_region_words(found, axis),
        *([_NOT_JUDGED] if results.study.least_steps > 0 and _judges_before_training(results) else []),
        *(need.sentence for need in lacking),
    )
    return Recommendation(
        study=results.study.name,
        num_trials=len(results.measured.numbers),
        at=dict(found.at),
        largest=end,
        moves=moved,
        clip=clip,
        region=found,
        needs=lacking,
        sentences=sentences,
        text=_text(results, sentences, moved, clip),
        folder=results.folder,
    )


def _judges_before_training(results: Results) -> bool:
    """Whether nothing counts but R at the start, which no learning rate changes."""
    return results.judged_by == ("R",)


def recommendation_text(results: Results, found: Recommendation, width: int) -> str:
    """The whole recommendation, as wide as a terminal is."""
    return _text(results, found.sentences, found.moves, found.clip, width)


def _axis(results: Results, largest: str | None, at: Mapping[str, Value]) -> str | None:
    numeric = results.study.space.numeric()
    if largest is None and _judges_before_training(results):
        return None
    if largest is None:
        return LEARNING_RATE if LEARNING_RATE in numeric and LEARNING_RATE not in at else None
    if largest not in numeric:
        names = ", ".join(numeric) or "it has none"
        raise UsageError(
            f"--largest must be an axis with numbers ({names}), got {largest!r}{nearest(largest, numeric)}"
        )
    if largest in at:
        raise UsageError(
            f"--largest {largest} asks for the largest value, so --at cannot give one: leave out --at {largest}"
        )
    return largest


def _place(results: Results, axis: str, found: RegionAt) -> dict[str, Value]:
    """The values of the other axes: the given ones, else the safest, among those at which the axis has an effect.

    Raises:
        UsageError: at the given values the axis has no effect.
    """
    place = {name: value for name, value in found.point.items() if name != axis}
    if not idle(axis, place):
        return place
    parent, values = conditions()[axis]
    if parent in found.at:
        raise UsageError(f"{name_text(axis)} has no effect where {name_text(parent)} is {found.at[parent]}")
    possible = [value for value in results.study.space.axes[parent].extremes() if value in values]
    places = [
        region_at(results.estimator, {**found.at, parent: value}, results.measured.points, results.constants)
        for value in possible
    ]
    safest = max(places, key=lambda each: each.p_next)
    return {name: value for name, value in safest.point.items() if name != axis}


def _is_possible(results: Results, need: LackingTrials) -> bool:
    """Whether the trials that are asked for make a sound study; a sampler may refuse an axis."""
    return planned(results.study, need.axes, need.trials) is not None


def _end_words(results: Results, end: SafeEnd | None, moved: tuple[Move, ...], given: Mapping[str, Value]) -> list[str]:
    if end is None:
        return []
    axes = results.study.space.axes
    told = end_sentences(end, len(results.measured.numbers), given)
    return told + ([] if end.value is None else [move_sentence(move, end, axes[move.axis]) for move in moved])


def _region_words(found: RegionAt, axis: str | None) -> list[str]:
    """The initial scale and the depth, in the words of `gradstab region`; what was asked for already is left out."""
    open_axes = list(dict.fromkeys(line.axis for line in found.lines))
    scales = [name for name in (*SCALES, WEIGHT_SCALE) if name in open_axes][:1]
    wanted = [name for name in (*scales, DEPTH) if name in open_axes and name != axis]
    return ["\n".join(advice(found, name)) for name in wanted]


def _text(
    results: Results,
    sentences: tuple[str, ...],
    moved: tuple[Move, ...],
    clip: ClipAdvice | None,
    width: int = WIDTH,
) -> str:
    basis = f"{basis_text(results)} {safe_sentence()}"
    lines = [line for sentence in sentences for line in sentence.splitlines()]
    parts = ["\n".join(wrapped(line, width) for line in lines), wrapped(basis, width)]
    if moved:
        columns = ["with", "at", "largest safe value, 90 %"]
        parts.append(table_text("With one other axis changed:", columns, move_rows(moved), width))
    parts += [table_text(*table, width) for table in ([] if clip is None else clip_tables(clip))]
    return "\n\n".join(parts)
