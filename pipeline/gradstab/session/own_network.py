"""Prepares a study of modules: its code, whether that changed, and a dry run before the first trial."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from gradstab.errors import UsageError
from gradstab.loop.cost_model import CostModel
from gradstab.loop.ports import Kind, Work
from gradstab.record.dry_run import DryRun, read_dry_run, save_dry_run
from gradstab.record.study_folder import StudyFolder
from gradstab.session.child_clock import ChildClock, Limits
from gradstab.study.module_recipe import module_recipe
from gradstab.study.pack_key import DataShape
from gradstab.study.study import Study
from gradstab.study.tensor_spec import FromFunction
from gradstab.system import child_process
from gradstab.user_code.code import UserCode, collect_code
from gradstab.user_code.stored import changed_files, read_code, save_code

_LIMITS = Limits()


def code_of(study: Study, source: Path | None, folder: StudyFolder) -> UserCode:
    """The code of a study: of its file, or as it was when the study last ran, where no file is given.

    Raises:
        UsageError: the code cannot be read.
    """
    if source is None:
        kept = read_code(folder.path)
        if kept is not None:
            return kept
    assert study.model is not None
    return collect_code([*study.functions, study.model.build], source)  # a family has no file to collect


def prepare_modules(
    study: Study, source: Path | None, folder: StudyFolder, say: Callable[[str], None], *, accept_changed: bool = False
) -> tuple[UserCode, DryRun]:
    """Check the code of a study of modules and try it, unless this code was tried before.

    Raises:
        UsageError: the code changed since the study began, or it cannot be trained.
    """
    code, before = code_of(study, source, folder), read_code(folder.path)
    changed = [] if before is None or before.digest == code.digest else changed_files(before, code)
    if changed and folder.num_recorded() and not accept_changed:
        raise UsageError(
            f"{', '.join(changed)} changed since the study {study.name!r} began, so its trials would not be alike: "
            f"undo the change, give the new study a name of its own (--name {study.name}-2), or go on with "
            "--accept-changed-code"
        )
    found = read_dry_run(folder.path)
    if found is None or found.digest != code.digest:
        say("trying the smallest and the largest module of the study")
        found = try_modules(study, code)
    for warning in found.warnings:
        say(warning)
    return code, found


def with_tried_data(study: Study, found: DryRun) -> Study:
    """The study whose data is known by what its function returned in the dry run."""
    if not isinstance(study.data, FromFunction):
        return study
    return study.model_copy(update={"data": study.data.known_as(found.data_hash, DataShape(*found.data_shape))})


def keep_modules(folder: StudyFolder, code: UserCode, found: DryRun) -> None:
    """Keep the code and what the dry run found in the study's folder."""
    save_code(folder.path, code)
    save_dry_run(folder.path, found)


def try_modules(study: Study, code: UserCode, limits: Limits = _LIMITS) -> DryRun:
    """A dry run in a child process.

    Args:
        limits: after which build, loss or data count as hanging.

    Raises:
        UsageError: the user's code or data cannot be used, or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="gradstab-") as place:
        save_code(Path(place), code)
        asked = json.dumps({"study": study.dump(), "code": place})
        clock = ChildClock(limits)
        try:
            child = child_process.run("gradstab.training.modules.dry_run_process", asked, is_over=clock.is_over)
        except subprocess.TimeoutExpired:
            raise UsageError(
                f"build, loss and data must take less than {limits.computing:.0f} s of computing for three modules, "
                f"but they {clock.reason}"
            ) from None
    lines = child.stdout.strip().splitlines()
    if child.returncode != 0 or not lines:
        reason = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        raise UsageError(f"the process that tried the modules must end by itself, but: {reason}")
    answer = json.loads(lines[-1])
    if "fault" in answer:
        raise UsageError("\n".join(filter(None, [answer["traceback"].rstrip(), answer["fault"]])))
    return DryRun.parse(answer["found"])


def module_work(study: Study, code: UserCode, found: DryRun) -> Work:
    """Training of a study's modules."""
    from gradstab.training.modules.work import ModuleWork

    assert study.model is not None
    reference = math.nan if found.reference_loss is None else found.reference_loss
    return ModuleWork(study.model, code, study.data, study.seed, reference, found.tried)


def costs_with(known: Mapping[Kind, CostModel], study: Study, found: DryRun) -> dict[Kind, CostModel]:
    """Cost models that know these modules: where no run has measured them, or other ones, the dry run has."""
    model, shape = known.get("cpu", CostModel()), study.data.shape()
    tried = [(one, module_recipe(study, one.point)) for one in found.tried if one.seconds > 0]
    # what is known under the name of a function may be of another file
    for one, recipe in tried:
        model = model if model.believes(recipe, shape, one.seconds) else model.without(recipe)
    for one, recipe in tried:
        if not model.believes(recipe, shape, one.seconds):
            model = model.learned([recipe], shape, one.seconds)
            if one.together > 1 and one.speedup:
                pack = [recipe] * one.together
                model = model.learned(pack, shape, len(pack) * one.seconds / one.speedup)
    return {**known, "cpu": model}
