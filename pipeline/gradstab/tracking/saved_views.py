"""The saved views of a study's experiment: which there are, and what each shows of the study's own axes.

The UI loads 100 runs at a time, so a view's order decides which trials are drawn first. The keys of columns and charts
are those of `run_content`, under the names that the study has in MLflow. Pictures are on the study's own run, which a
view of pictures therefore lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gradstab.display.numbers import setting_text
from gradstab.record.shipping_order import ShippingOrder
from gradstab.study.axes import Value
from gradstab.study.responses.registry import RESPONSES
from gradstab.study.space import SearchSpace
from gradstab.study.study import Study
from gradstab.tracking.links import MAP_ID
from gradstab.tracking.metric_names import MetricNames
from gradstab.tracking.pictures import DEPTH_PROFILES, PHASE_DIAGRAM, map_key
from gradstab.tracking.trial_metrics import axis_metric
from gradstab.tracking.verdict_colours import GROUP_TAG
from gradstab.tracking.view_state import (
    FIRST_20,
    TRIALS,
    Card,
    Page,
    Section,
    View,
    contour,
    image,
    line,
    parallel,
    picture,
    scatter,
)

HINT_ID = "gradstab-hint"
# MLflow's menu of views drops what its links need: the charts, and the side of the UI
_HINT = "0 After choosing here: chart button, left of the search box"
_FIRST_COLUMNS = ("depth", "init_scale", "activation", "clip")

Shapes = Mapping[str, float]


def view_tags(order: ShippingOrder, names: MetricNames, shapes: Shapes) -> dict[str, str]:
    """The experiment tags of all views of a study, and of one that says in MLflow's menu what its menu lacks."""
    found = views(order, names, shapes)
    listed = [View(HINT_ID, _HINT, found[0].state), *found]
    return dict(view.tag(place) for place, view in enumerate(listed))


def views(order: ShippingOrder, names: MetricNames, shapes: Shapes) -> list[View]:
    """Stability map (and one for each choice of an axis without order), profiles, curves, cliff edge, heat maps.

    Args:
        shapes: height over width of the pictures that the study's own run holds, by key.
    """
    return _Views(order, names, shapes).all()


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

    def __init__(self, order: ShippingOrder, names: MetricNames, shapes: Shapes) -> None:
        study = order.declaration
        self._space = study.space
        self._names = names
        self._shapes = shapes
        self._place = "layers" if study.model is None else "taps"
        self._clips = "clip" in study.space.names() or study.recipe.clip
        self._trains = "steps" in study.space.names() or study.recipe.steps > 0
        self._counted = [names(RESPONSES[letter].name) for letter in _counted(study, order)]
        self._plane = plane(study.space)
        columns = (*self._axis_columns(), *self._result_columns())
        self._page = Page(columns, GROUP_TAG if names.comparable else "verdict")

    def all(self) -> list[View]:
        """Every view, in the order of the list."""
        return [*self._maps(), *self._depth_profiles(), *self._curves(), self._edge(), self._heat_maps()]

    def _maps(self) -> Iterator[View]:
        """The phase diagram above charts of the newest trials; then the same for each choice."""
        split = self._space.split()
        sections = [*self._pictured("Stability map", PHASE_DIAGRAM), Section("The newest 100 trials", self._map(split))]
        yield View(MAP_ID, "1 Stability map", self._first_page(sections, where=""))
        if split is None:
            return
        name, choices = split
        texts = [setting_text(choice) for choice in choices]
        for choice, text in zip(choices, texts, strict=True):
            title = f"Stability map: {text if isinstance(choice, str) else f'{name} {text}'}"
            where = f"params.`{name}` LIKE '%{text}%'"  # the study's own run lists all choices there
            where += "".join(f" AND params.`{name}` != '{other}'" for other in texts if text in other and text != other)
            sections = [*self._pictured(title, map_key(choice)), Section("Its trials", self._map(None))]
            state = self._first_page(sections, where=where, without=f"params.`{name}`")
            yield View(f"{MAP_ID}-{text}", f"1 {title}", state)

    def _first_page(self, sections: list[Section], where: str, without: str = "") -> dict[str, object]:
        is_wide = len(sections) > 1
        return self._page.state(*sections, where=where, wide=is_wide, without=without)

    def _pictured(self, title: str, key: str) -> Iterator[Section]:
        """A section with a picture, if the study's own run has it."""
        if key in self._shapes:
            yield picture(title, key, self._shapes[key])

    def _depth_profiles(self) -> Iterator[View]:
        """The report's picture, which has colours and quantiles of its own; then MLflow's means by verdict."""
        axis = f"x = % of the {self._place}" if self._names.comparable else "x = layer"
        means = Section(f"Means and ranges, {axis}", tuple(self._profiles()))
        if DEPTH_PROFILES in self._shapes:
            lines = Section(f"Newest 20 trials, {axis}", tuple(self._profiles()))
            sections = [*self._pictured("Depth profiles of all trials", DEPTH_PROFILES), lines]
            state = self._page.state(*sections, where="", wide=True, shown_runs=FIRST_20)
            yield View("gradstab-depth", "2 Depth profiles", state)
        yield View("gradstab-profiles", "2 Depth profiles by verdict", self._page.state(means, by_verdict=True))

    def _curves(self) -> Iterator[View]:
        section = Section("Training curves (x = optimizer step)", tuple(self._curve_cards()))
        yield View("gradstab-curves", "3 Training curves by verdict", self._page.state(section, by_verdict=True))

    def _edge(self) -> View:
        state = self._page.state(
            Section("Trials nearest the boundary", tuple(self._edge_cards())),
            order=("metrics.`edge_distance`", True),
            extra=("metrics.`margin`", "metrics.`edge_distance`"),
            shown_runs=FIRST_20,  # a curve of each of 100 runs keeps a browser busy for half a minute
        )
        return View("gradstab-edge", "4 Cliff edge", state)

    def _heat_maps(self) -> View:
        title = f"Heat maps (x = optimizer step, y = {self._place[:-1]})"
        cards = tuple(image(f"heat_map/{name}") for name in ("grad_norm", "activation_scale", "saturated_or_dead"))
        state = self._page.state(
            Section(title, cards, columns=2, height=900),  # pictures stand below each other within a card
            order=("metrics.`edge_distance`", True),
            where=f"{TRIALS} AND tags.heat_maps = 'true'",
            shown_runs=FIRST_20,
        )
        return View("gradstab-heatmaps", "5 Heat-map gallery", state)

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

    def _map(self, mixed: tuple[str, tuple[Value, ...]] | None) -> tuple[Card, ...]:
        """Charts of trials over the plane; contours where it mixes no choices."""
        cards: list[Card] = []
        main = self._counted[0]
        if len(self._plane) == 2:
            x, y = self._plane
            cards.append(scatter(x, y))
            if mixed is None:
                cards += [contour(x, y, "stable"), contour(x, y, main)]
            cards.append(scatter(x, main))
        else:
            cards += [scatter(x, y) for x in self._plane for y in ("margin", *self._counted)]
        numbers = [axis_metric(name, axis) for name, axis in self._space.items() if not axis.is_choice]
        return *cards, parallel([*self._space.choices()], [*numbers, *self._counted, "margin", "stable"])

    def _profiles(self) -> Iterator[Card]:
        for key in ("log10_grad_ratio", "log10_activation_scale"):
            for moment in ("init", "end"):
                yield line(self._names.profile(key, moment))

    def _curve_cards(self) -> Iterator[Card]:
        yield self._loss()
        for key in ("accuracy", "log10_grad_norm"):
            yield line(f"series/{key}")
        yield line(self._names("series/gradient_ratio"))
        if self._clips:
            yield line("series/clip_factor")

    def _edge_cards(self) -> Iterator[Card]:
        if len(self._plane) == 2:
            yield scatter(*self._plane)
        for x in self._plane[:1]:
            yield scatter(x, "margin")
        yield line(self._names.profile("log10_grad_ratio", "init"))
        if self._trains:
            yield self._loss()
        if self._clips:
            for x in self._plane[:1]:
                yield scatter(x, "clip_fraction")

    def _loss(self) -> Card:
        key = self._names("series/log10_loss")
        return line(key, log=key == "series/loss")  # after a divergence it spans 20 decades


def _counted(study: Study, order: ShippingOrder) -> tuple[str, ...]:
    """Letters of the responses that the study's criterion counts."""
    return order.criterion.responses_for(study.least_steps)
