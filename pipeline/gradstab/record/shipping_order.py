"""What the driver tells the shipper: which study, where its notebook is, and how far the study has come.

The driver writes ``tracking.json`` into the results folder before the shipper starts, and again when counts, budget
or trials in flight change; the shipper only reads it.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gradstab.errors import GradstabError
from gradstab.study.criterion import Criterion
from gradstab.study.study import Study
from gradstab.system.durable import replace_file

FILE_NAME = "tracking.json"

Detail = Literal["summary", "full"]
Beyond = Literal["boundary", "sample", "all", "none"]


class ShippingOrder(BaseModel):
    """A study as its MLflow experiment shows it.

    Args:
        study: the experiment's name.
        study_id: identifies the study for ever, whatever its name; what runs are found by.
        fingerprint: of what may not change in the study, by which a lost results folder is found again.
        uri: MLflow tracking URI, absolute (``sqlite:////home/...``, ``http://...``).
        artifact_root: folder for artifacts of a database URI; None where a server decides.
        question: what the study asks; shown as description.
        study_file: name of the study's file in the results folder.
        resolved: all settings of the study, as JSON.
        versions: package name to version.
        git_commit: commit of the code, or None outside a checkout.
        criterion: what trials are judged by.
        budget: number of trials the study shall have.
        children: trials with a smaller number get a run of their own.
        beyond: which of the others do: those near the boundary, every tenth, all or none.
        detail: "summary" keeps a trial within 100 metric rows; "full" adds every layer at every probe time.
        counts: what progress shows, such as {"done": 412, "stable": 120}.
        in_flight: numbers of the trials that are running now.
        settings: where things are (storage, results folder, engine), shown as tags.
        updated_ms: when this was written, milliseconds since 1970; the time stamp of progress metrics.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal[1] = 1
    study: Annotated[str, Field(min_length=1)]
    study_id: Annotated[str, Field(min_length=1)]
    fingerprint: str = ""
    uri: Annotated[str, Field(min_length=1)]
    artifact_root: str | None = None
    question: str = ""
    study_file: str
    resolved: dict[str, Any]
    versions: dict[str, str]
    git_commit: str | None = None
    criterion: Criterion
    budget: Annotated[int, Field(ge=1)]
    children: Annotated[int, Field(ge=0)] = 10_000
    beyond: Beyond = "none"
    detail: Detail = "summary"
    counts: dict[str, int] = {}
    in_flight: tuple[int, ...] = ()
    settings: dict[str, str] = {}
    updated_ms: int

    @cached_property
    def declaration(self) -> Study:
        """The study as it was declared.

        Raises:
            StudyError: `resolved` is no complete study.
        """
        return Study.model_validate(self.resolved)


def save_order(folder: Path, job: ShippingOrder) -> None:
    """Put the job into a results folder, whole or not at all, readable by its owner only (a URI may hold a password).

    Raises:
        StorageError: the folder cannot be written.
    """
    replace_file(folder / FILE_NAME, job.model_dump_json(indent=1), durable=False)


def load_order(folder: Path) -> ShippingOrder:
    """The job of a results folder.

    Raises:
        GradstabError: there is none, or it is not one.
    """
    path = folder / FILE_NAME
    try:
        return ShippingOrder.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise GradstabError(f"{path} must exist before results can be shipped; run the study to write it") from error
    except ValidationError as error:
        raise GradstabError(f"{path} must hold a tracking job, but {error}; run the study to write it anew") from error
