"""The saved views of an experiment that holds trainings that were watched."""

from __future__ import annotations

from collections.abc import Iterator

from gradstab.study.responses.registry import RESPONSES
from gradstab.tracking.view_state import FIRST_20, Card, Page, Section, View, image, line

_WATCHED = "tags.gradstab = 'watch'"
_COLUMNS = ("tags.`verdict`", f"metrics.`{RESPONSES['R'].name}`", "metrics.`gradient_ratio_end`", "metrics.`loss_end`")
_SERIES = ("gradient_ratio", "loss", "log10_grad_norm", "accuracy")
_MAPS = ("grad_norm", "activation_scale", "saturated_or_dead")


def watched_view_tags() -> dict[str, str]:
    """The experiment tags of the views."""
    return dict(view.tag(place) for place, view in enumerate(watched_views()))


def watched_views() -> list[View]:
    """R over time, profiles over depth, heat maps."""
    page = Page(_COLUMNS, "verdict")
    series = tuple(line(f"series/{key}", log=key == "loss") for key in _SERIES)
    maps = tuple(image(f"heat_map/{name}") for name in _MAPS)
    with_maps = f"{_WATCHED} AND tags.heat_maps = 'true'"
    over_depth = "Depth profiles (x = % of the depth, 0 next to the input)"
    drawn = "Heat maps (x = optimizer step, y = layer)"
    return [
        View(
            "gradstab-watch",
            "Watch: gradients over time",
            page.state(Section("Readings (x = optimizer step)", series), where=_WATCHED),
        ),
        View(
            "gradstab-watch-profiles",
            "Watch: depth profiles",
            page.state(Section(over_depth, tuple(_profiles())), where=_WATCHED),
        ),
        View(
            "gradstab-watch-maps",
            "Watch: heat maps",
            page.state(Section(drawn, maps, columns=3, height=900), where=with_maps, shown_runs=FIRST_20),
        ),
    ]


def _profiles() -> Iterator[Card]:
    for key in ("log10_grad_ratio", "log10_activation_scale"):
        for moment in ("init", "end"):
            yield line(f"profile/{key}_{moment}")
