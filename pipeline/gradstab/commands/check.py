"""`gradstab check`: checks a study and estimates packs, time, memory, disk and MLflow rows before it runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from gradstab.commands.options import format_option, results_option

if TYPE_CHECKING:
    from gradstab.commands.estimate import Estimate
    from gradstab.commands.terminal import Format


@click.command()
@click.argument("study")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Replace a field of the study, for example recipe.width=256.",
)
@results_option
@format_option
def check(study: str, overrides: tuple[str, ...], results: str | None, output: Format) -> None:
    """Check STUDY and estimate its time, memory and disk use."""
    from dataclasses import asdict

    from gradstab.commands.estimate import estimate
    from gradstab.commands.lookup import find_study
    from gradstab.commands.modules_text import modules_texts
    from gradstab.commands.terminal import print_json, print_pairs
    from gradstab.display.numbers import duration_text, size_text
    from gradstab.loop.calibration import stored_cost_model
    from gradstab.record.study_folder import StudyFolder
    from gradstab.session.own_network import code_of, costs_with, try_modules, with_tried_data
    from gradstab.session.parts import memory_of_a_slot
    from gradstab.study.settings import results_setting

    declared, source = find_study(study, results, overrides)
    slots = declared.resources.slots or os.cpu_count() or 1
    cost, modules = stored_cost_model(), None
    if declared.model is not None:
        folder = StudyFolder.of(results_setting(results).value, declared.name)
        modules = try_modules(declared, code_of(declared, source, folder))
        declared, cost = with_tried_data(declared, modules), costs_with({"cpu": cost}, declared, modules)["cpu"]
    found = estimate(declared, cost, slots, memory_of_a_slot(slots))
    if output == "json":
        tried = {} if modules is None else {"modules": asdict(modules)}
        print_json({"study": declared.dump(), "estimate": vars(found), **tried})
        return
    import yaml

    click.echo(yaml.safe_dump(declared.dump(), sort_keys=False, allow_unicode=True))
    rough = "" if found.calibrated else "  (rough: this machine's speed was not measured yet)"
    print_pairs(
        {
            "trials": f"{found.trials} in about {found.packs} packs of up to {found.trials_per_pack}, "
            f"{found.pack_keys} kind{'s' if found.pack_keys > 1 else ''}",
            "time": f"{duration_text(found.seconds)} on {slots} slot{'s' if slots > 1 else ''}{rough}",
            "dispatch": _dispatch_text(found),
            "memory": f"{size_text(found.pack_bytes)} a slot",
            "disk": size_text(found.disk_bytes),
            "MLflow": f"{found.mlflow_rows} rows at most",
            **({} if modules is None else modules_texts(modules)),
        }
    )


def _dispatch_text(found: Estimate) -> str:
    """What is lost because packs are not larger, and what keeps them small."""
    text = f"{100 * found.dispatch_share:.0f} % of the training time, which larger packs would divide among more trials"
    if found.batch is None:
        return text
    return (
        f"{text}; the sampler looks at results after every {found.batch} trials, which limits packs to that size: "
        f"sampler.batch (boundary), or a sampler that is a design (sobol, random, grid), allows larger ones"
    )
