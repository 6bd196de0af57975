"""`gradstab check`: checks a study and estimates packs, time, memory, disk and MLflow rows before it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gradstab.commands.options import format_option, results_option, set_option, study_argument

if TYPE_CHECKING:
    from gradstab.commands.estimate import Estimate
    from gradstab.commands.terminal import Format


@click.command()
@study_argument
@set_option
@results_option
@click.option(
    "--full", is_flag=True, help="Print the whole study too, with the fields that it leaves to their defaults."
)
@format_option
def check(study: str, overrides: tuple[str, ...], results: str | None, full: bool, output: Format) -> None:
    """Check STUDY and estimate its time, memory and disk use.

    Nothing is trained. The time is that of cores that do nothing else.
    """
    from dataclasses import asdict

    from gradstab.commands.estimate import estimate
    from gradstab.commands.lookup import find_study
    from gradstab.commands.modules_text import modules_texts
    from gradstab.commands.terminal import print_json, print_rows, print_sentence
    from gradstab.display.numbers import counted, duration_text, size_text
    from gradstab.loop.calibration import stored_cost_model
    from gradstab.record.study_folder import StudyFolder
    from gradstab.session.own_network import code_of, costs_with, try_modules, with_tried_data
    from gradstab.session.parts import memory_of_a_slot
    from gradstab.study.settings import results_setting
    from gradstab.system.cores import allowed_cores
    from gradstab.system.load import busy_text

    declared, source = find_study(study, results, overrides)
    allowed = allowed_cores()
    slots = declared.resources.slots or allowed.count
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
    busy = busy_text(slots) if declared.resources.address is None else None
    rough = "" if found.calibrated else "  (rough: this machine's speed was not measured yet)"
    kinds = "" if found.pack_keys == 1 else f", of {counted(found.pack_keys, 'kind')} that cannot train together"
    print_sentence(f"{declared.name}: {declared.question}")
    click.echo()
    lines = {
        "trials": f"{found.trials} in about {counted(found.packs, 'pack')} of up to {found.trials_per_pack}{kinds}",
        "time": f"{duration_text(found.seconds)} on {counted(slots, 'idle core')}{rough}",
        **({} if busy is None else {"load": f"{busy} now, so it will take longer"}),
        "overhead": _dispatch_text(found),
        "memory": f"{size_text(found.pack_bytes)} per slot",
        "disk": size_text(found.disk_bytes),
        "MLflow": f"at most {found.mlflow_rows} rows",
    }
    if allowed.limit and declared.resources.slots is None:
        lines["cores"] = str(allowed)
    if modules is not None:
        lines |= modules_texts(modules)
    if declared.stop is not None:
        lines |= _stop_line(declared.budget.trials)
    print_rows("", ["", ""], [[name, text] for name, text in lines.items()])
    if full:
        import yaml

        click.echo()
        click.echo(yaml.safe_dump(declared.dump(), sort_keys=False, allow_unicode=True), nl=False)


def _stop_line(trials: int) -> dict[str, str]:
    """A line if the study has too few trials to be certified. Its import is for them alone, as it is slow."""
    from gradstab.stability.certificate import NUM_AUDITS, REPLICATED_POINTS, TRAININGS_A_POINT

    repeated = REPLICATED_POINTS * (TRAININGS_A_POINT - 1)
    if trials > NUM_AUDITS + repeated:
        return {}
    return {
        "stop": f"cannot be reached in {trials} trials: it takes {NUM_AUDITS} audits and {repeated} repeated "
        "trainings, beside the trials from which the region is learned"
    }


def _dispatch_text(found: Estimate) -> str:
    """What is lost because packs are not larger, and what keeps them small."""
    text = f"{100 * found.dispatch_share:.0f} % of the time goes into starting packs, which larger packs would save"
    if found.batch is None:
        return text
    return (
        f"{text}; the sampler looks at results after every {found.batch} trials, which limits packs to that size: "
        f"sampler.batch (boundary), or a sampler that is a design (sobol, random, grid), allows larger ones"
    )
