"""The saved views of a study's experiment: which there are, and what each shows of the study's own axes.

The UI loads 100 runs at a time, so a view's order decides which trials are drawn first. The keys of columns and charts
are those of `run_content`, under the names that the study has in MLflow.
"""

from __future__ import annotations

from collections.abc import Iterator

from gradstab.display.numbers import setting_text
from gradstab.record.shipping_order import ShippingOrder
from gradstab.study.axes import Value
from gradstab.study.responses.registry import RESPONSES
from gradstab.study.space import SearchSpace
from gradstab.study.study import Study
from gradstab.tracking.links import MAP_ID
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.trial_metrics import axis_metric
from gradstab.tracking.view_state import (
    FIRST_20,
    TRIALS,
    Card,
    Page,
    View,
    contour,
    image,
    line,
    parallel,
    scatter,
)

PHASE_DIAGRAM = "phase_diagram"  # image of the study's own run
_MOST_CHOICES = 6
_FIRST_COLUMNS = ("depth", "init_scale", "activation", "clip")


def view_tags(order: ShippingOrder, names: MetricNames) -> dict[str, str]:
    """The experiment tags of all views of a study."""
    return dict(view.tag(place) for place, view in enumerate(views(order, names)))


def views(order: ShippingOrder, names: MetricNames) -> list[View]:
    """Stability map (and one for each choice of an axis without order), profiles, curves, cliff edge, heat maps."""
    return _Views(order, names).all()


def plane(space: SearchSpace) -> list[str]:
    """The metrics that a map is drawn over, at most two: init scale and depth, else the first numeric axes."""
    keys = {name: axis_metric(name, axis) for name, axis in space.items() if not axis.is_choice}
    scale = next((name for name in ("init_scale", "relative_init_scale") if name in keys), None)
    first = [name for name in (scale, "depth") if name in keys]
    chosen = list(dict.fromkeys([*first, *keys]))[:2]
    # trials of several activations share one map of absolute scales
    return ["log10_init_scale" if name == "relative_init_scale" else keys[name] for name in chosen]


class _Views:
    """The views of one study."""

    def __init__(self, order: ShippingOrder, names: MetricNames) -> None:
        study = order.declaration
        self._space = study.space
        self._names = names
        self._clips = "clip" in study.space.names() or study.recipe.clip
        self._trains = "steps" in study.space.names() or study.recipe.steps > 0
        self._counted = [names(RESPONSES[letter].name) for letter in _counted(study, order)]
        self._plane = plane(study.space)
        self._page = Page((*self._axis_columns(), *self._result_columns()))

    def all(self) -> list[View]:
        """Every view, in the order of the list."""
        page, split = self._page, self._split()
        overview = [image(PHASE_DIAGRAM), *self._map(mixed=split is not None)]
        found = [View(MAP_ID, "1 Stability map", page.state("Stability map", overview, where="", grid=(2, 520)))]
        if split is not None:
            name, choices = split
            for choice in choices:
                text = setting_text(choice)
                title = f"Stability map: {text if isinstance(choice, str) else f'{name} {text}'}"
                where = f"{TRIALS} AND params.`{name}` = '{text}'"
                found.append(
                    View(f"{MAP_ID}-{text}", f"1 {title}", page.state(title, self._map(mixed=False), where=where))
                )
        return [
            *found,
            View(
                "gradstab-profiles",
                "2 Depth profiles by verdict",
                page.state("Depth profiles (x = layer, 1 next to the input)", _profiles(), by_verdict=True),
            ),
            View(
                "gradstab-curves",
                "3 Training curves by verdict",
                page.state("Training curves (x = optimizer step)", self._curves(), by_verdict=True),
            ),
            View(
                "gradstab-edge",
                "4 Cliff edge",
                page.state(
                    "Trials nearest the boundary",
                    self._edge(),
                    order=("metrics.`edge_distance`", True),
                    extra=("metrics.`margin`", "metrics.`edge_distance`"),
                    shown_runs=FIRST_20,  # a curve of each of 100 runs keeps a browser busy for half a minute
                ),
            ),
            View(
                "gradstab-heatmaps",
                "5 Heat-map gallery",
                page.state(
                    "Heat maps (x = optimizer step, y = layer)",
                    _heat_maps(),
                    order=("metrics.`edge_distance`", True),
                    where=f"{TRIALS} AND tags.heat_maps = 'true'",
                    shown_runs=FIRST_20,
                    grid=(3, 900),  # pictures stand below each other within a card
                ),
            ),
        ]

    def _axis_columns(self) -> Iterator[str]:
        """The study's own axes, and the absolute init scale where they give relative ones."""
        axes = self._space.names()
        shown = [*axes, *(["init_scale"] if "relative_init_scale" in axes else [])]
        first = [name for name in _FIRST_COLUMNS if name in shown]
        yield from (f"params.`{name}`" for name in dict.fromkeys([*first, *shown]))

    def _result_columns(self) -> Iterator[str]:
        yield "tags.`verdict`"
        ratio = self._names("gradient_ratio")
        metrics = dict.fromkeys([ratio, *self._counted, self._names("gradient_rate")])
        yield from (f"metrics.`{name}`" for name in metrics)
        if self._trains:
            yield "metrics.`tail_loss`"
        if self._clips:
            yield "metrics.`clip_fraction`"

    def _split(self) -> tuple[str, tuple[Value, ...]] | None:
        """The axis without order, activation before others, that a map must not mix; None if there is none."""
        choices = {
            name: axis.choices
            for name, axis in self._space.choices().items()
            if 2 <= len(axis.choices) <= _MOST_CHOICES
        }
        if not choices:
            return None
        name = "activation" if "activation" in choices else next(iter(choices))
        return name, choices[name]

    def _map(self, *, mixed: bool) -> Iterator[Card]:
        main = self._counted[0]
        if len(self._plane) == 2:
            x, y = self._plane
            yield scatter(x, y)
            if not mixed:
                yield contour(x, y, "stable")
                yield contour(x, y, main)
            yield scatter(x, main)
        else:
            for x in self._plane:
                yield scatter(x, "margin")
                for name in self._counted:
                    yield scatter(x, name)
        numbers = [axis_metric(name, axis) for name, axis in self._space.items() if not axis.is_choice]
        yield parallel([*self._space.choices()], [*numbers, *self._counted, "margin", "stable"])

    def _curves(self) -> Iterator[Card]:
        for key in ("loss", "accuracy", "log10_grad_norm"):
            yield line(f"series/{key}")
        yield line(self._names("series/gradient_ratio"))
        if self._clips:
            yield line("series/clip_factor")

    def _edge(self) -> Iterator[Card]:
        if len(self._plane) == 2:
            yield scatter(*self._plane)
        for x in self._plane[:1]:
            yield scatter(x, "margin")
        yield line("profile_init/log10_grad_norm")
        if self._trains:
            yield line("series/loss")
        if self._clips:
            for x in self._plane[:1]:
                yield scatter(x, "clip_fraction")


def _counted(study: Study, order: ShippingOrder) -> tuple[str, ...]:
    """Letters of the responses that the study's criterion counts."""
    return order.criterion.responses_for(study.least_steps)


def _profiles() -> Iterator[Card]:
    for key in ("log10_grad_norm", "log10_activation_scale"):
        for moment in ("init", "end"):
            yield line(f"profile_{moment}/{key}")


def _heat_maps() -> Iterator[Card]:
    for name in ("grad_norm", "activation_scale", "saturated_or_dead"):
        yield image(f"heat_map/{name}")
