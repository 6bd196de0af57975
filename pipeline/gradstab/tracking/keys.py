"""Every key that MLflow holds of a study, with unit and meaning. `docs/keys.md` is written from it:

``python -m gradstab.tracking.keys > docs/keys.md``
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gradstab.display.verdicts import WORDS
from gradstab.record.statistics.registry import layer_statistics
from gradstab.study.criterion import MEANING_OF_VERDICT, VERDICTS
from gradstab.study.recipe import Recipe
from gradstab.study.responses.registry import RESPONSES
from gradstab.tracking.metric_names import MetricNames, not_comparable_names, old_names
from gradstab.tracking.run_content import PICTURED_TRIALS
from gradstab.tracking.trial_picture import FILE_NAME


@dataclass(frozen=True)
class Key:
    """A metric or a tag: `unit` is "" where there is none."""

    name: str
    unit: str
    meaning: str


def trial_metrics() -> tuple[Key, ...]:
    """The metrics of a trial, one number each; the responses first."""
    return (
        *(Key(each.name, each.unit_name, f"{each.letter}, {each.meaning}") for each in RESPONSES.values()),
        *_OTHER_METRICS,
    )


_OTHER_METRICS: tuple[Key, ...] = (
    Key("gradient_ratio_end", "decades", "R at the last probe that measured it"),
    Key(
        "gradient_rate", "1 a layer", "slope of ln of the gradient norm toward the input, over the last half of layers"
    ),
    Key("gradient_rate_all", "1 a layer", "the same over all layers"),
    Key("gradient_rate_r2", "1", "r squared of the line behind gradient_rate_all"),
    Key("margin", "bands", "signed distance to the nearest edge of the bands; above 0 is stable"),
    Key("edge_distance", "bands", "its absolute value: small at the cliff edge"),
    Key("stable", "0 or 1", "1 where the verdict is stable"),
    Key("tail_loss", "nats", "final loss: mean of the last 20 steps; absent after a divergence"),
    Key("loss_init", "nats", "loss of the probed batch before training"),
    Key("loss_end", "nats", "the same at the end"),
    Key("accuracy_init", "1", "accuracy on 512 training rows before training"),
    Key("accuracy_end", "1", "the same at the end"),
    Key("log10_grad_norm_init", "decades", "log10 of the whole gradient's norm at the first step, before clipping"),
    Key("log10_grad_norm_end", "decades", "the same at the last step that has one, within [-50, 40]"),
    Key("max_dead_fraction", "1", "largest dead fraction of any layer at any probe"),
    Key("max_saturated_fraction", "1", "largest saturated fraction of any layer at any probe"),
    Key("num_nonfinite", "steps", "losses and gradient norms that were not finite"),
    Key("diverged_at_step", "step", "first step at which something was not finite; absent where all was"),
    Key("clip_fraction", "1", "fraction of steps on which clipping acted; with clipping on"),
    Key("mean_clip_factor", "1", "mean of gradient norm after clipping over before; with clipping on"),
    Key("log10_clip_threshold", "decades", "log10 of the bound; with clipping on"),
    Key("log10_init_scale", "decades", "log10 of the absolute init scale, for charts"),
    Key("log10_depth", "decades", "log10 of the number of hidden layers, for charts"),
)
TRIAL_SERIES: tuple[Key, ...] = (
    Key("series/log10_loss", "decades of nats", "log10 of the training loss; `series/loss` where it is not above 0"),
    Key("series/accuracy", "1", "accuracy on 512 training rows"),
    Key("series/log10_grad_norm", "decades", "log10 of the norm of the whole gradient, before clipping"),
    Key("series/clip_factor", "1", "norm after clipping over norm before; with clipping on"),
    Key("series/gradient_ratio", "decades", "gradient ratio R"),
)
TRIAL_PROFILES: tuple[Key, ...] = (
    Key(
        "profile/log10_grad_ratio_init",
        "decades",
        "gradient norm over that at the last layer, before training; at 0 it is R",
    ),
    Key("profile/log10_grad_ratio_end", "decades", "the same at the end"),
    Key("profile/log10_activation_scale_init", "decades", "log10 root mean square activation before training"),
    Key("profile/log10_activation_scale_end", "decades", "the same at the end"),
)
TRIAL_TAGS: tuple[Key, ...] = (
    Key("kind", "", "`trial`, or `study` for the study's own run"),
    Key("study", "", "name of the study"),
    Key("study_id", "", "identifies the study whatever its name"),
    Key("trial", "", "number of the trial, the same in Optuna and in the segments"),
    Key("verdict", "", f"{', '.join(VERDICTS)}, or failed where the machine failed; see below"),
    Key("verdicts", "", "the same for charts of groups: blanks at its end give the group the verdict's colour"),
    Key("phase", "", "vanishing, stable or exploding: of the gradients before training"),
    Key(
        "outcome",
        "",
        "diverged, trained, partial, untrained, or not_run: no training, or no loss known that counts as trained",
    ),
    Key("gradient_flag", "", "underflow or overflow where R is cut off at 37 decades"),
    Key("failure", "", "why the machine failed"),
    Key("device", "", "what the trial was trained on"),
    Key("taps", "", "names of the taps of a module, from the input"),
    Key("heat_maps", "", "`true` where the run holds heat maps and arrays"),
)
STUDY_METRICS: tuple[Key, ...] = (
    Key("trials/done", "trials", "measured or failed"),
    Key("trials/<verdict>", "trials", "with that verdict"),
    Key("trials/failed", "trials", "whose machine failed for good"),
    Key("trials/in_flight", "trials", "running now; `in_flight.json` lists them"),
    Key("trials/per_second", "trials/s", "between two looks, at least a second apart"),
    Key("region/volume_estimate", "1", "fraction of the search space in the region"),
    Key("region/volume_low", "1", "lower end of its 90 % interval"),
    Key("region/volume_high", "1", "upper end of its 90 % interval"),
    Key("region/search_volume", "1", "the same as the search's own model has it, while it runs; not of designs"),
    Key("region/search_misclassified", "1", "fraction that this model expects on the wrong side of the boundary"),
    Key("region/certified", "0 or 1", "whether the stop condition holds"),
)


def searches(names: MetricNames) -> tuple[tuple[str, str], ...]:
    """What people search for, and the search, for a study whose metrics have these names."""
    return (
        ("exploding ReLU networks", f"params.activation = 'relu' and metrics.{names('gradient_ratio')} > 1"),
        ("all that exploded", "tags.verdict = 'exploding'"),
        ("trials at the cliff edge", "metrics.edge_distance < 0.1 and tags.kind = 'trial'"),
        ("one trial", "tags.trial = '42'"),
        ("saved by clipping", "params.clip = 'true' and metrics.clip_fraction > 0.5 and tags.verdict = 'stable'"),
        ("the study's own run", "tags.kind = 'study'"),
    )


def page() -> str:
    """The page of all keys, Markdown."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Keys in MLflow"
    yield ""
    yield "Written by `python -m gradstab.tracking.keys > docs/keys.md` from the code's own definitions."
    yield ""
    yield "What people search for, as it is typed into the box above the list of runs:"
    yield ""
    yield "| wanted | search |"
    yield "|---|---|"
    for wanted, search in searches(MetricNames()):
        yield f"| {wanted} | `{search}` |"
    yield ""
    yield "Params and tags are text, in quotes; metrics are numbers. MLflow's search knows `and`, not `or`."
    yield from _table("Metrics of a trial: one number each", trial_metrics())
    yield ""
    yield "Every other numeric axis is there too: `log10_<axis>` where it is logarithmic, `<axis>` where it is not."
    yield from _table("Series of a trial: up to 6 points, x is the optimizer step", TRIAL_SERIES)
    yield from _table(
        "Depth profiles of a trial: 6 or 11 points, x is the percentage of the depth, 0 at the first layer",
        TRIAL_PROFILES,
    )
    yield ""
    yield "Values between two layers are interpolated. A network of one layer has no profile. For modules, read tap."
    yield ""
    yield (
        f"The artifact `{FILE_NAME}` of trials 0 to {PICTURED_TRIALS - 1} shows the gradient at every layer, and for "
        "modules names every tap."
    )
    yield ""
    yield (
        "`tracking.detail: full` adds `layer_full/<statistic>/<layer>` over steps, for "
        + ", ".join(f"`{one.name}`" for one in layer_statistics())
        + "."
    )
    yield from _table("Tags of a trial", TRIAL_TAGS)
    yield ""
    yield "## Verdicts"
    yield ""
    yield "| verdict | meaning |"
    yield "|---|---|"
    for verdict, meaning in MEANING_OF_VERDICT.items():
        shown = f"; shown as {WORDS[verdict]}" if verdict in WORDS else ""
        yield f"| `{verdict}` | {meaning}{shown} |"
    yield from _table("Metrics of the study's own run, x is the number of trials", STUDY_METRICS)
    yield from _old_names()
    yield ""
    yield "## Params of a trial"
    yield ""
    yield "The axes of the study, and the settings that have an effect on the trial; numbers have 4 digits."
    yield ""
    yield "| param | meaning |"
    yield "|---|---|"
    for name, field in Recipe.model_fields.items():
        yield f"| `{name}` | {field.description} |"
    yield "| `seed` | seed of the trial |"


def _old_names() -> Iterator[str]:
    yield ""
    yield "## Names in studies that version 0.1.0 began"
    yield ""
    yield (
        "A study keeps the names it began with. An experiment with the tag `metric_names` has the names of this page; "
        "one without it has these instead:"
    )
    yield ""
    yield "| this page | version 0.1.0 |"
    yield "|---|---|"
    for name, old in old_names().items():
        yield f"| `{name}` | `{old}` |"
    yield ""
    yield (
        "These hold other numbers than their successors: the loss itself, and values at layers instead of percentages, "
        "gradients as they are instead of relative to the last layer's. Studies that version 0.1.0 began have them, "
        "and those whose tag `metric_names` is `readable`:"
    )
    yield ""
    yield "| this page | in their place |"
    yield "|---|---|"
    for name, old in not_comparable_names().items():
        yield f"| `{name}` | `{old}` |"
    yield ""
    yield (
        "Formulas, figures, study files and Optuna's attributes (`gs.R`, `gs.T`, `gs.R_worst`) have the letters in "
        'every study, and `load_results(...).trials["R"]` works too.'
    )


def _table(title: str, keys: tuple[Key, ...]) -> Iterator[str]:
    yield ""
    yield f"## {title}"
    yield ""
    yield "| key | unit | meaning |" if any(key.unit for key in keys) else "| key | meaning |"
    yield "|---|---|---|" if any(key.unit for key in keys) else "|---|---|"
    for key in keys:
        unit = f" {key.unit} |" if any(other.unit for other in keys) else ""
        yield f"| `{key.name}` |{unit} {key.meaning} |"


if __name__ == "__main__":
    print(page(), end="")
