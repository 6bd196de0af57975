"""Depth profiles: taps of a module are named along the axis; panels lie below each other where a page is narrow."""

from __future__ import annotations

import numpy as np

from gradstab.figures.profile_figure import Profile, TrialProfile, profile_figure, profiles

TRIALS = [
    TrialProfile(group, "stable", np.linspace(0.5, 0.0, depth, dtype=np.float32)) for group in "ab" for depth in (5, 9)
]


def names_along_x(found: list[Profile], taps: tuple[str, ...]) -> list[str]:
    figure = profile_figure(found, 1.0, taps=taps)
    return [label.get_text() for label in figure.axes[-1].get_xticklabels()]


def test_taps_stand_at_their_places_and_long_names_keep_their_end() -> None:
    found = profiles(TRIALS)
    assert names_along_x(found, ()) == ["first", "middle", "last"]
    names = names_along_x(found, tuple(f"model.layers.{place}.self_attention.output" for place in range(9)))
    assert 2 < len(names) <= 7
    assert all(name.startswith("…") and name.endswith(".output") and len(name) <= 20 for name in names)
    assert names_along_x(found, ("x$_0$", "y"))[0] == "x$_0$", "a name is no formula"


def test_a_narrow_figure_has_one_column() -> None:
    wide, narrow = (profile_figure(profiles(TRIALS), 1.0, shape=shape) for shape in ("page", "narrow"))
    assert wide.get_figwidth() > wide.get_figheight()
    assert narrow.get_figwidth() < narrow.get_figheight()
