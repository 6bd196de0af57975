"""What the driver tells the shipper: which study, where its MLflow is, and how far the study has come.

The driver writes ``tracking.json`` into the results folder before the shipper starts, and again when counts, budget
or trials in flight change. The shipper only reads it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gradstab.errors import GradstabError
from gradstab.study.criterion import Criterion
from gradstab.study.study import Study
from gradstab.study.versions import FIRST_VERSION, Was, under_current_names
from gradstab.system.durable import replace_file
from gradstab.system.storage_url import holds_password

FILE_NAME = "tracking.json"

Detail = Literal["summary", "full"]
ChildRunsAfter = Literal["boundary", "sample", "all", "none"]


class RegionSoFar(BaseModel):
    """What a running search says of the region, from the trials that it knows.

    Args:
        num_trials: how many those are.
        volume: the fraction of the search space that is expected in the region.
        misclassified: the fraction that is expected on the wrong side of its boundary.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_trials: int
    volume: float
    misclassified: float


class ShippingOrder(BaseModel):
    """A study as its MLflow experiment shows it.

    Args:
        study: the experiment's name.
        study_id: identifies the study for ever, whatever its name; its runs are found by it.
        fingerprint: of what may not change in the study, by which a lost results folder is found again.
        began_in: version in which the study began, under which its fingerprint was made.
        uri: MLflow tracking URI, absolute (``sqlite:////home/...``, ``http://...``).
        artifact_root: folder for artifacts where the URI is a database; None where a server decides.
        question: what the study asks; shown as description.
        study_file: name of the study file in the results folder.
        resolved: all settings of the study, as JSON.
        versions: package name to version.
        git_commit: commit of the code, or None outside a checkout.
        criterion: what trials are judged by.
        budget: how many trials the study has when it is done.
        child_runs: trials with a smaller number get a run of their own.
        child_runs_after: which of the others do: those near the boundary, every tenth, all or none.
        detail: "summary" sends at most 100 metric rows of a trial; "full" adds every layer at every probe time.
        counts: what progress shows, such as {"done": 412, "stable": 120}.
        in_flight: numbers of the trials that are running now.
        region: what the search's own model says of the region; None where the search has no model.
        settings: where storage, results folder and the like are, shown as tags.
        updated_ms: when this was written, in milliseconds since 1970; progress metrics carry this time.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    study: Annotated[str, Field(min_length=1)]
    study_id: Annotated[str, Field(min_length=1)]
    fingerprint: str = ""
    began_in: str = FIRST_VERSION
    uri: Annotated[str, Field(min_length=1)]
    artifact_root: str | None = None
    question: str = ""
    study_file: str
    resolved: dict[str, Any]
    versions: dict[str, str]
    git_commit: str | None = None
    criterion: Criterion
    budget: Annotated[int, Field(ge=1)]
    child_runs: Annotated[int, Field(ge=0), Was("children", until="0.2.0")] = 10_000
    child_runs_after: Annotated[ChildRunsAfter, Was("beyond", until="0.2.0")] = "none"
    detail: Detail = "summary"
    experiment: str = "{name}"
    counts: dict[str, int] = {}
    in_flight: tuple[int, ...] = ()
    region: RegionSoFar | None = None
    settings: dict[str, str] = {}
    updated_ms: int

    @property
    def experiment_name(self) -> str:
        """The name that the study's experiment in MLflow gets, if no other has it."""
        return self.experiment.replace("{name}", self.study)

    @cached_property
    def declaration(self) -> Study:
        """The study as it was declared.

        Raises:
            StudyError: `resolved` is no complete study.
        """
        return Study.model_validate(self.resolved)

    @model_validator(mode="before")
    @classmethod
    def _old_names_are_accepted(cls, given: object) -> object:
        return under_current_names(cls, given)


def save_order(folder: Path, order: ShippingOrder) -> None:
    """Put the order into a results folder, whole or not at all; only its owner can read one with a password in a URI.

    Raises:
        StorageError: the folder cannot be written.
    """
    replace_file(folder / FILE_NAME, order.model_dump_json(indent=1), durable=False, private=holds_password(order.uri))


def load_order(folder: Path) -> ShippingOrder:
    """The order in a results folder.

    Raises:
        GradstabError: there is none, or it cannot be read.
    """
    path = folder / FILE_NAME
    try:
        return ShippingOrder.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise GradstabError(f"{path} must exist before results can be shipped: run the study to write it") from error
    except ValidationError as error:
        raise GradstabError(
            f"{path} must hold a shipping order, but: {error}; run the study again to write it"
        ) from error
