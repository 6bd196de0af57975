"""The study: the frozen declaration that the user writes, checked as a whole when it is built."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, model_validator

from gradstab.activations.registry import is_import_path, versions_of_passes
from gradstab.errors import StudyError
from gradstab.study.criterion import Criterion
from gradstab.study.data_spec import DataSpec, Digits
from gradstab.study.did_you_mean import nearest
from gradstab.study.explained import Section, explained
from gradstab.study.faults import EXPERIMENT_PATTERN, NAME_PATTERN, cross_faults, field_names, sentences
from gradstab.study.model_spec import ModelSpec
from gradstab.study.recipe import BUILDABLE, FULLY_CONNECTED, OF_MODULES, UNSAID_BY_DEFAULT, Recipe, fields_with
from gradstab.study.response_band import ResponseBand, response_bands
from gradstab.study.sampler_spec import SamplerSpec, SobolSpec
from gradstab.study.space import SearchSpace
from gradstab.study.tensor_spec import FromFunction
from gradstab.study.versions import Since, Was, as_of, under_current_names, versions_of
from gradstab.study.wording import plain
from gradstab.system.version_order import version_numbers
from gradstab.user_code.failures import CodeError
from gradstab.user_code.names import name_of

FINGERPRINTED = ("space", "recipe", "model", "data", "criterion", "sampler", "replicates", "seed")

Name = Annotated[
    str,
    Field(
        pattern=NAME_PATTERN,
        description="letters, digits, '.', '_' and '-'; it names the results folder and the MLflow experiment",
        examples=["my-first"],
    ),
]


@explained
class Budget(Section):
    """When a study is done: its total number of trials, failed ones included; or a time limit for one run."""

    trials: Annotated[
        int, Field(ge=1, le=10_000_000, description="trials in total, failed ones included", examples=[300])
    ]
    minutes: Annotated[
        float | None, Field(gt=0, description="how long one run may take; the next run continues", examples=[10])
    ] = None


@explained
class Stop(Section):
    """When a study may end before its budget: once audits, more than a hundred trials, certify its region."""

    error: Annotated[
        float, Field(gt=0, lt=0.5, description="fraction of the space that may be misclassified", examples=[0.02])
    ]


@explained
class Resources(Section):
    """What the trials run on."""

    slots: Annotated[
        int | None, Field(ge=1, description="CPU slots, one thread each; all cores by default", examples=[2])
    ] = None
    device: Annotated[Literal["cpu", "gpu", "any"], Field(description="what to train on; any takes both")] = "any"
    gpu_share: Annotated[float, Field(gt=0, le=1, description="part of a GPU that one slot takes", examples=[0.5])] = (
        1.0
    )
    pack_seconds: Annotated[
        float, Field(ge=1, description="how long a worker may be silent before it counts as hanging, at the least")
    ] = 120.0
    address: Annotated[
        str | None, Field(description="Ray cluster; none starts Ray in this process", examples=["auto"])
    ] = None


@explained
class Tracking(Section):
    """What MLflow is sent."""

    uri: Annotated[
        str | None,
        Field(
            description="MLflow tracking URI; SQLite in the results folder by default",
            examples=["http://127.0.0.1:5000"],
        ),
    ] = None
    experiment: Annotated[
        str,
        Field(
            pattern=EXPERIMENT_PATTERN,
            description="name of the MLflow experiment, where {name} is the study's; Databricks names them by a path",
            examples=["/Users/me@example.org/{name}"],
        ),
        Since("0.2.0"),
    ] = "{name}"
    child_runs: Annotated[
        int,
        Field(ge=0, description="how many trials, from number 0 on, get a child run each"),
        Was("children", until="0.2.0"),
    ] = 10_000
    child_runs_after: Annotated[
        Literal["boundary", "sample", "all", "none"],
        Field(description="which trials after those get one: near the boundary, every tenth, all, none"),
        Was("beyond", until="0.2.0"),
    ] = "boundary"
    heat_maps: Annotated[int, Field(ge=0, description="trials nearest the boundary that get heat maps")] = 50
    detail: Annotated[Literal["summary", "full"], Field(description="full logs every layer at every probe time")] = (
        "summary"
    )

    @model_validator(mode="before")
    @classmethod
    def _old_names_are_accepted(cls, given: object) -> object:
        return under_current_names(cls, given)


@explained
class Study(Section):
    """A question to be answered by trials: what is varied, what is fixed, what counts as stable, and for how long.

    Raises:
        StudyError: on building, with every fault of the declaration at once.
    """

    schema_version: Annotated[Literal[1], Field(description="version of this format")] = 1
    name: Name
    question: Annotated[
        str, Field(min_length=1, description="what the study asks", examples=["How deep may ReLU networks be?"])
    ]
    prediction: Annotated[
        str, Field(description="what is expected; reports quote it", examples=["at most 20 layers train"])
    ] = ""
    space: Annotated[SearchSpace, Field(description="what is varied")]
    recipe: Annotated[Recipe, Field(description="the settings that all trials share")] = Recipe()
    model: Annotated[
        ModelSpec | None,
        Field(description="the user's network, or a family that ships; fully connected networks if none"),
        Since("0.2.0"),
    ] = None
    data: Annotated[DataSpec, Field(description="what the networks train on")] = Digits()
    criterion: Criterion = Criterion()
    sampler: Annotated[SamplerSpec, Field(description="how points are chosen")] = SobolSpec()
    budget: Budget
    stop: Stop | None = None
    replicates: Annotated[int, Field(ge=1, le=1000, description="trainings of each point")] = 1
    seed: Annotated[
        int, Field(ge=0, lt=2**63, description="decides points, initial weights and batches", examples=[1])
    ] = 0
    resources: Resources = Resources()
    tracking: Tracking = Tracking()
    storage: Annotated[
        str | None,
        Field(
            description="Optuna storage; a journal in the results folder by default",
            examples=["postgresql://me@host/optuna"],
        ),
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _all_faults_at_once(cls, given: object, info: ValidationInfo) -> object:
        """Check every section by itself, so that a fault in one section does not hide the faults of another."""
        if not isinstance(given, Mapping):
            raise StudyError([f"a study must be a mapping of fields, got {type(given).__name__}"])
        faults: list[str] = []
        sound: dict[str, Any] = {}
        for key in given:
            if key not in cls.model_fields:
                faults.append(
                    f"{plain(key)} must be a field of a study, got an unknown one{nearest(str(key), cls.model_fields)}"
                )
        for key, field in cls.model_fields.items():
            if key not in given:
                if field.is_required():
                    faults.append(f"{key} must be given: a study has none by default")
                else:
                    sound[key] = field.default
                continue
            try:
                value = given[key]
                if key == "data" and inspect.isroutine(value):
                    value = FromFunction(name_of(value, what="data"))
                sound[key] = _adapter(cls, key).validate_python(value, context=info.context)
            except CodeError as error:
                faults.append(str(error))
            except ValidationError as error:
                faults.extend(sentences(error, key, field_names(field.annotation)))
                sound.update(_salvaged(cls, key, given[key], error, info.context))
        faults.extend(cross_faults(sound, info.context))
        if faults:
            raise StudyError(faults)
        return {key: sound[key] for key in given}

    def versions(self) -> list[str]:
        """The versions in which this study may have begun, as far as that makes a difference; oldest first.

        They differ in the fields of a declaration, or in the passes of one of this study's activations.
        """
        return sorted({*versions_of(self), *versions_of_passes(self.activations)}, key=version_numbers)

    def dump(self, version: str | None = None) -> dict[str, Any]:
        """The whole study as JSON types, defaults written out; `Study.model_validate` reads it back equal.

        A recipe field that an axis sets has no value of its own and is left out.

        Args:
            version: in which the study began. What came later is left out where it has its default, so that the
                study stays the same study, and versions back to that one can read it. By default the newest.
        """
        dumped: dict[str, Any] = as_of(self, self.model_dump(mode="json"), version or self.versions()[-1])
        given = self.recipe.model_fields_set
        # not given, they have no meaning for the subject, or one excludes the other
        exclusive = {"init_scale", "relative_init_scale", *_other_subject(self.model)} - given
        unsaid = {name for name in fields_with(UNSAID_BY_DEFAULT) if _has_default(self.recipe, name)}
        for name in list(dumped["recipe"]):
            if name in self.space.names() or name in exclusive | unsaid:
                del dumped["recipe"][name]
        dumped["data"] = {name: value for name, value in dumped["data"].items() if value is not None}
        if self.model is None:
            dumped.pop("model", None)  # so that a study of fully connected networks says nothing of modules
        return dumped

    def fingerprinted(self, version: str | None = None) -> dict[str, Any]:
        """The parts that decide which trials there are and what they mean; these may not change between runs."""
        dumped = self.dump(version)
        if dumped["data"].get("sha256"):  # the file's content counts, not where it lies
            dumped["data"] = {
                name: value for name, value in dumped["data"].items() if name not in ("path", "known_shape")
            }
        return {name: dumped[name] for name in FINGERPRINTED if name in dumped}

    def fingerprint(self, version: str | None = None) -> str:
        """SHA-256 of the fingerprinted parts as a study has them that began in that version, as hex."""
        return hashlib.sha256(json.dumps(self.fingerprinted(version), sort_keys=True).encode()).hexdigest()

    def fingerprints(self, began_in: str | None = None) -> dict[str, str]:
        """The fingerprint under every version in which the study may have begun, oldest first, and under `began_in`."""
        versions = [*self.versions(), *([] if began_in is None else [began_in])]
        return {version: self.fingerprint(version) for version in versions}

    def with_data_hash(self) -> Study:
        """This study with its data file known by its content.

        A study that began before files were known so stays known by the file's path.
        """
        return self.model_copy(update={"data": self.data.with_data_hash()})

    @property
    def is_adaptive(self) -> bool:
        """Whether later points depend on earlier results, so that trials must not be asked for long in advance."""
        return not self.sampler.is_design or self.stop is not None

    @property
    def least_steps(self) -> int:
        """The fewest optimizer steps that a trial takes, because only responses that all trials have can be judged."""
        axis = self.space.axes.get("steps")
        if axis is None:
            return self.recipe.steps
        return min(int(value) for value in axis.extremes())

    @property
    def activations(self) -> tuple[str, ...]:
        """The activations that its trials train with."""
        axis = self.space.axes.get("activation")
        return (self.recipe.activation,) if axis is None else tuple(map(str, axis.extremes()))

    @property
    def import_paths(self) -> frozenset[str]:
        """Functions of the user that the study names, `module:function`: activations, and those of its model."""
        return frozenset(filter(is_import_path, self.activations)) | self.functions

    @property
    def functions(self) -> frozenset[str]:
        """Functions of the user that build, judge and feed the modules of the study."""
        named = [] if self.model is None else [*self.model.functions]
        named += [self.data.function] if isinstance(self.data, FromFunction) else []
        return frozenset(name for name in named if ":" in name)

    def bands(self) -> tuple[ResponseBand, ...]:
        """The responses that are judged, and where each must lie."""
        return response_bands(self.criterion, self.least_steps)


def _other_subject(model: ModelSpec | None) -> tuple[str, ...]:
    """Recipe fields that need not have a value in a study of this subject."""
    return fields_with(OF_MODULES) if model is None else (*fields_with(BUILDABLE), *fields_with(FULLY_CONNECTED))


def _has_default(recipe: Recipe, name: str) -> bool:
    return bool(getattr(recipe, name) == Recipe.model_fields[name].default)


@cache
def _adapter(study: type[Study], key: str) -> TypeAdapter[Any]:
    return TypeAdapter(get_type_hints(study, include_extras=True)[key])


def _salvaged(study: type[Study], key: str, given: object, error: ValidationError, origin: object) -> dict[str, Any]:
    """The section without its faulty entries, so that the rest is still checked against other sections."""
    faulty = {details["loc"][0] for details in error.errors() if details["loc"]}
    if key not in ("space", "recipe") or not isinstance(given, Mapping):
        return {}
    kept = {name: value for name, value in given.items() if name not in faulty}
    return {key: _adapter(study, key).validate_python(kept, context=origin)} if kept else {}
