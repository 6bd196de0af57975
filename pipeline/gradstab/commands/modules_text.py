"""What a dry run of a study's modules found, in lines for the terminal."""

from __future__ import annotations

from gradstab.display.numbers import setting_text, size_text
from gradstab.record.dry_run import DryRun, TriedModule

_MOST_NAMES = 4


def modules_texts(found: DryRun) -> dict[str, str]:
    """A line for each module that was tried, then what counts as trained, and warnings."""
    lines = {f"module {place + 1}": _module_text(one) for place, one in enumerate(found.tried)}
    reference = found.reference if found.reference_loss is None else f"{found.reference_loss:.3g}, {found.reference}"
    lines["guessing"] = f"loss {reference}"
    lines |= {f"warning {place + 1}": text for place, text in enumerate(found.warnings)}
    return lines


def _module_text(one: TriedModule) -> str:
    arguments = ", ".join(f"{name} {setting_text(value)}" for name, value in one.arguments.items())
    return (
        f"{arguments}: {one.parameters:,} parameters, {len(one.taps)} {one.axis} ({_names(one.taps)}), "
        f"{1000 * one.step_seconds:.1f} ms a step, {one.seconds:.1f} s a trial, {size_text(one.num_bytes)}; "
        f"{_way_text(one)}"
    )


def _way_text(one: TriedModule) -> str:
    """How members of this structure are computed, and why."""
    way = f"up to {one.together} computed at once" if one.together > 1 else "computed one by one"
    return f"{way}, because {one.why}" if one.why else way


def _names(taps: tuple[str, ...]) -> str:
    """The first names and the last one."""
    return ", ".join(taps) if len(taps) <= _MOST_NAMES else f"{', '.join(taps[:2])} ... {taps[-1]}"
