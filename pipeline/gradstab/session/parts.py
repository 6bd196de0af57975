"""Opens the parts of a run for a study and its settings: searcher, executor, tracker."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gradstab.activations.activation import Activation
from gradstab.activations.from_outside import import_activations
from gradstab.activations.registry import add_imported
from gradstab.errors import UsageError
from gradstab.loop.packing import FREE_MEMORY_SHARE
from gradstab.loop.ports import Executor, Tracker, Work
from gradstab.loop.progress import Progress
from gradstab.record.shipping_order import ShippingOrder, save_order
from gradstab.record.study_folder import StudyFolder, make_folder
from gradstab.study.settings import Settings
from gradstab.study.study import Study
from gradstab.system.cores import allowed_cores
from gradstab.system.file_system import network_file_system
from gradstab.system.load import busy_text
from gradstab.system.provenance import git_commit, versions
from gradstab.system.storage_url import SqliteFile
from gradstab.theory.relative_scale import require_critical_scales

if TYPE_CHECKING:
    from gradstab.search.searcher import OptunaSearcher


Engine = Literal["ray", "serial"]


@dataclass(frozen=True)
class Listener:
    """Callbacks of a run; each may be left out.

    Attributes:
        found: called with sentences about what the run found.
        progress: called with the study's progress at least twice a second.
        shipping: called, once training is over, with the number of trials that MLflow does not have yet.
    """

    found: Callable[[str], None] = lambda _: None
    progress: Callable[[Progress], None] = lambda _: None
    shipping: Callable[[int], None] = lambda _: None


def start_tracker(folder: StudyFolder, study: Study, settings: Settings, delay: float = 0.0) -> Tracker:
    """Start the shipper process for a study's folder, after `delay` seconds."""
    from gradstab.tracking.shipper_process import ShipperProcess

    save_order(folder.path, shipping_order(folder, study, settings, Progress(study.budget.trials)))
    return ShipperProcess(folder.path, settings.mlflow_env, delay)


def shipping_order(folder: StudyFolder, study: Study, settings: Settings, progress: Progress) -> ShippingOrder:
    """The shipping order of a study with its progress."""
    artifacts = settings.artifact_folder()
    if artifacts is not None:
        make_folder(artifacts.parent)
    began_in = folder.began_in()
    return ShippingOrder(
        study=study.name,
        study_id=folder.study_id(),
        fingerprint=study.fingerprint(began_in),
        began_in=began_in,
        uri=settings.tracking.value.url,
        artifact_root=str(artifacts) if artifacts else None,
        question=study.question,
        study_file=folder.source_name(),
        resolved=study.dump(began_in),
        versions=versions(),
        git_commit=git_commit(),
        criterion=study.criterion,
        budget=study.budget.trials,
        child_runs=study.tracking.child_runs,
        child_runs_after=study.tracking.child_runs_after,
        detail=study.tracking.detail,
        experiment=study.tracking.experiment,
        counts={"done": progress.done, "failed": progress.failed, **progress.verdicts},
        in_flight=progress.in_flight,
        region=progress.region,
        settings=settings.shown(),
        updated_ms=time.time_ns() // 1_000_000,
    )


def network_warning(settings: Settings) -> str | None:
    """The sentence for a SQLite database on a network file system, whose locks often do not work; None for others."""
    for name, variable, place in (
        ("MLflow's database", "MLFLOW_TRACKING_URI", settings.tracking.value),
        ("Optuna's database", "OPTUNA_STORAGE", settings.storage.value),
    ):
        kind = network_file_system(place.path) if isinstance(place, SqliteFile) else None
        if kind is not None:
            return (
                f"{name} is on the network file system {kind}, and is used without a write-ahead log there. If it is "
                f"locked or damaged, keep it on a local disk: {variable}=sqlite:////PATH/FILE.db"
            )
    return None


def load_note(study: Study, settings: Settings, engine: Engine) -> str | None:
    """The sentence for a run on this machine while others keep its cores busy; None for a cluster."""
    if engine == "ray" and settings.ray_address.value is not None:
        return None
    slots = 1 if engine == "serial" else study.resources.slots or allowed_cores().count
    busy = busy_text(slots)
    return None if busy is None else f"{busy}: the study will take longer than `gradstab check` says"


def open_searcher(
    study: Study, settings: Settings, began_in: str | None = None, report: Callable[[str], None] = lambda _: None
) -> OptunaSearcher:
    """Open or create the Optuna study. `report` is called when its server goes away."""
    from gradstab.search.searcher import OptunaSearcher

    return OptunaSearcher(
        settings.storage.value,
        study.name,
        study.space,
        study.sampler,
        study_seed=study.seed,
        replicates=study.replicates,
        fingerprints=study.fingerprints(began_in),
        began_in=began_in,
        report=report,
        bands=study.bands(),
        error=None if study.stop is None else study.stop.error,
    )


def own_activations(study: Study, source: Path | None) -> dict[str, Activation]:
    """The study's activations that are not of the library, imported here, by name.

    Args:
        source: the study's file; modules beside it can be imported, without one those of the working directory.

    Raises:
        UsageError: an activation cannot be imported, or is none.
        StudyError: an activation has no critical init scale to which the study's scale could be relative.
    """
    activations = import_activations(study.activations, source.parent if source else Path.cwd())
    add_imported(activations)
    require_critical_scales(study)
    return activations


def training_work(study: Study, activations: Mapping[str, Activation], began_in: str) -> Work:
    """Training with the kernels of the version in which the study began; its own activations travel with the work."""
    from gradstab.training.work import TrainingWork

    return TrainingWork(study.data, study.seed, activations, began_in)


def open_executor(
    study: Study, settings: Settings, engine: Engine, work: Work, report: Callable[[str], None]
) -> Executor:
    """Open the executor: in this process, or Ray's. `report` is called with what is waited for."""
    if engine == "serial":
        from gradstab.execution.serial_executor import SerialExecutor

        if study.resources.device == "gpu":
            raise UsageError(
                "the serial engine trains on a CPU, but resources.device is gpu: "
                "leave --engine out, or set resources.device to any"
            )
        return SerialExecutor(work)
    report(_ray_start(study, settings))
    from gradstab.execution.ray_executor import RayExecutor

    _import_meanwhile("gradstab.search.searcher")
    wanted = study.resources
    return RayExecutor(
        work,
        wanted.slots,
        address=settings.ray_address.value,
        device=wanted.device,
        gpu_share=wanted.gpu_share,
        report=report,
    )


def _ray_start(study: Study, settings: Settings) -> str:
    """What the user waits for while Ray's processes start or a cluster is reached, which takes up to half a minute."""
    address = settings.ray_address.value
    if address is not None:
        return f"connecting to Ray at {address} ..."
    allowed = allowed_cores()
    slots = study.resources.slots or allowed.count
    why = f": {allowed}" if allowed.limit and study.resources.slots is None else ""
    return f"starting Ray ({slots} slot{'' if slots == 1 else 's'}{why}) ..."


def _import_meanwhile(module: str) -> None:
    """Import a module in a thread while Ray's processes start, which this process only waits for.

    A fault is not reported here: whoever needs the module meets it again.
    """

    def load() -> None:
        with contextlib.suppress(Exception):
            import_module(module)

    threading.Thread(target=load, name="imports", daemon=True).start()


def memory_of_a_slot(num_slots: int) -> int:
    """Bytes that a pack may take on a slot that has not measured its own memory: an equal part of this machine's."""
    import psutil

    return int(psutil.virtual_memory().available * FREE_MEMORY_SHARE / num_slots)
