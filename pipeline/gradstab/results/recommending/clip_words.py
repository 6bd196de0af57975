"""Clipping in words: at which threshold, on how many steps it acts, what it saves and what it costs."""

from __future__ import annotations

from gradstab.display.numbers import counted, percent_text, value_text
from gradstab.results.recommending.clip_advice import LEAST_TRAININGS, ClipAdvice
from gradstab.results.recommending.recorded_norms import LEVELS
from gradstab.stability.clip_effect import Cost, Saved

Table = tuple[str, list[str], list[list[object]]]


def clip_sentences(clip: ClipAdvice) -> list[str]:
    """At which threshold to clip, and why."""
    if clip.threshold is None:
        return [_without_threshold(clip)]
    clipped = ", which were clipped themselves" if clip.clipped else ""
    told = [
        f"Clip at {value_text(clip.threshold)}: it acts on {percent_text(clip.share)} of the steps of stable trainings "
        f"({counted(clip.num_trainings, 'training')}, {clip.num_steps} steps{clipped})"
    ]
    if clip.saved is not None:
        told[0] += f" and saves {saved_text(clip.saved)} that diverge without"
        told[0] += ", by the region model" if clip.counted == "region" else ", counted in pairs of equal points"
    elif clip.has_clipped and clip.has_unclipped:
        told[0] += "; no training diverged without clipping, so there is nothing to save"
    told[0] += "."
    if clip.cost is not None:
        told.append(_cost_sentence(clip.cost))
    if clip.limited:
        told.append("The threshold that acts on 2 % of the steps was not tried; this is the nearest that was.")
    return told


def saved_text(saved: Saved) -> str:
    """`31 of 40`, with the interval of an expected number."""
    if saved.low is None or saved.high is None:
        return f"{saved.number:.0f} of {saved.of}"
    return f"{saved.number:.0f} (90 % interval {saved.low:.0f} to {saved.high:.0f}) of {saved.of}"


def clip_tables(clip: ClipAdvice) -> list[Table]:
    """Norms along training, other thresholds, and the clipped trainings of the study."""
    found: list[Table] = []
    if clip.along:
        columns = ["steps", *(f"{100 * level:.0f} % are below" for level in LEVELS), "largest"]
        rows: list[list[object]] = [
            [f"{part.first}-{part.last}", *map(value_text, part.quantiles), value_text(part.largest)]
            for part in clip.along
        ]
        found.append(("Gradient norms of stable trainings, before clipping:", columns, rows))
    if clip.effects:
        columns = ["threshold", "acts on", *(["saves"] if clip.saved else []), *(["change of T"] if clip.cost else [])]
        rows = []
        for effect in clip.effects:
            cells: list[object] = [value_text(effect.threshold), percent_text(effect.share)]
            cells += [saved_text(effect.saved)] if effect.saved else []
            cells += [_cost_text(effect.cost)] if effect.cost else []
            rows.append(cells)
        found.append(("Clipping by norm at other thresholds:", columns, rows))
    if clip.tried:
        columns = ["mode", "thresholds", "trials", "stable", "acted on", "median T"]
        rows = [
            [
                band.mode,
                value_text(band.low) if band.low == band.high else f"{value_text(band.low)} to {value_text(band.high)}",
                band.num_trainings,
                band.num_stable,
                "-" if band.acted is None else percent_text(band.acted),
                "-" if band.median_response is None else f"{band.median_response:+.2f}",
            ]
            for band in clip.tried
        ]
        found.append(("Clipped trainings of the study:", columns, rows))
    return found


def _without_threshold(clip: ClipAdvice) -> str:
    if clip.tried and all(band.mode == "value" for band in clip.tried):
        return "The study clips by value, of which gradient norms tell no threshold: the table shows those it tried."
    return (
        f"Clip threshold: too few stable trainings to say ({clip.num_trainings}); it needs the gradient norms of at "
        f"least {LEAST_TRAININGS}."
    )


def _cost_sentence(cost: Cost) -> str:
    where = f"At the {counted(cost.num_places, 'place')} that train without clipping it changes T by {_cost_text(cost)}"
    if cost.low > 0:
        return f"{where}: it costs loss there."
    return f"{where}: {'it lowers the loss there, too' if cost.high < 0 else 'no cost can be seen'}."


def _cost_text(cost: Cost) -> str:
    return f"{cost.change:+.2f} ({cost.low:+.2f} to {cost.high:+.2f})"
