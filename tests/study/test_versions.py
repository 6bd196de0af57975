"""What a later version of a declaration may add: old studies stay the same studies, and no default changes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel, Field

from gradstab.errors import StorageError, StudyError
from gradstab.record.study_folder import StudyFolder
from gradstab.study.differences import differences
from gradstab.study.file import changed
from gradstab.study.recipe import Recipe
from gradstab.study.sampler_spec import GridSpec, SobolSpec
from gradstab.study.space import SearchSpace
from gradstab.study.study import Study
from gradstab.study.versions import FIRST_VERSION, Since

DEFAULTS = Path(__file__).parent.parent / "golden" / "defaults.json"
DECLARED: dict[str, Any] = {
    "name": "grown",
    "question": "?",
    "space": {"depth": {"type": "log_integer", "low": 2, "high": 4}},
    "budget": {"trials": 3},
}


class GrownRecipe(Recipe):
    dropout: Annotated[float, Field(ge=0, lt=1), Since("0.9.0")] = 0.0


class GrownGrid(GridSpec):
    order: Annotated[str, Since("0.10.0")] = "shuffled"


class GrownStudy(Study):
    """The study of a later version: a recipe field more, one of a sampler, and a section."""

    recipe: GrownRecipe = GrownRecipe()
    sampler: Annotated[SobolSpec | GrownGrid, Field(discriminator="type")] = SobolSpec()
    augmentation: Annotated[str | None, Since("0.9.0")] = None


def declare(kind: type[Study], **changes: Any) -> Study:
    return kind.model_validate({**DECLARED, **changes})


def defaults() -> dict[str, dict[str, object]]:
    """Default of every field of a declaration, by the version in which the field came."""
    found: dict[str, dict[str, object]] = {}
    kind: Any
    for kind in sorted(parts_of(Study), key=lambda part: part.__name__):
        hints = get_type_hints(kind, include_extras=True)
        if issubclass(kind, BaseModel):
            fields = {n: (f.default, f.is_required(), f.metadata) for n, f in kind.model_fields.items()}
        else:
            fields = {
                f.name: (f.default, f.default is dataclasses.MISSING, list(get_args(hints[f.name])))
                for f in dataclasses.fields(kind)
            }
        for name, (default, required, metadata) in fields.items():
            since = next((mark.version for mark in metadata if isinstance(mark, Since)), FIRST_VERSION)
            shown = default
            if isinstance(default, BaseModel):  # whose fields are listed by themselves
                shown = [type(default).__name__, default.model_dump(mode="json", exclude_defaults=True)]
            found.setdefault(since, {})[f"{kind.__name__}.{name}"] = "(required)" if required else shown
    return found


def parts_of(kind: Any) -> set[Any]:
    """The models and axes that a declaration may hold."""
    if kind is SearchSpace:
        return parts_of(SearchSpace.model_fields["root"].annotation)
    if isinstance(kind, type) and (issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind)):
        hints = get_type_hints(kind, include_extras=True)
        names = kind.model_fields if issubclass(kind, BaseModel) else hints
        return {kind}.union(*(parts_of(hints[name]) for name in names))
    return set().union(*(parts_of(inner) for inner in get_args(kind)))


def test_no_default_changes_and_every_later_field_says_when_it_came():
    """A default is part of old studies: changed, their trials would mean something else under the same fingerprint."""
    known, found = json.loads(DEFAULTS.read_text()), json.loads(json.dumps(defaults()))
    for version in {*known, *found}:
        before, now = known.get(version, {}), found.get(version, {})
        assert not before.keys() - now.keys(), f"of version {version}, and gone: {sorted(before.keys() - now.keys())}"
        new = sorted(now.keys() - before.keys())
        assert not new, f'{new}: give a new field its version (Annotated[..., Since("0.3.0")]), and write its default into {DEFAULTS}'  # fmt: skip
        changed_ones = {name: (before[name], now[name]) for name in before if before[name] != now[name]}
        assert not changed_ones, f"a default may never change, but these did: {changed_ones}"


@pytest.mark.parametrize("changes", [{}, {"sampler": {"type": "grid"}}, {"recipe": {"momentum": 0.9}}, {"data": {"type": "teacher"}}])  # fmt: skip
@pytest.mark.parametrize("version", ["0.1.0", "0.2.0", "0.8.12"])
def test_a_study_that_began_earlier_does_not_notice_later_fields(changes: dict[str, Any], version: str):
    before, after = declare(Study, **changes), declare(GrownStudy, **changes)
    assert after.fingerprint(version) == before.fingerprint(version)
    assert after.dump(version) == before.dump(version)
    assert declare(Study, **after.dump(version)) == before


def test_a_later_field_counts_once_it_is_used_or_where_the_study_began_with_it():
    unused, used = declare(GrownStudy), declare(GrownStudy, recipe={"dropout": 0.5})
    assert used.fingerprint("0.1.0") != unused.fingerprint("0.1.0")
    changed_ones = differences(unused.fingerprinted("0.1.0"), used.fingerprinted("0.1.0"))
    assert changed_ones == ["recipe.dropout: (none) -> 0.5"]
    assert unused.dump("0.9.0")["recipe"]["dropout"] == 0.0
    assert declare(GrownStudy, **used.dump("0.1.0")) == used


def test_where_it_is_not_known_when_a_study_began_every_version_is_tried():
    before, after = declare(Study), declare(GrownStudy)
    assert list(before.fingerprints()) == ["0.1.0", "0.2.0"]
    assert list(after.fingerprints()) == ["0.1.0", "0.2.0", "0.9.0"]
    assert list(declare(GrownStudy, sampler={"type": "grid"}).fingerprints())[-1] == "0.10.0"
    assert set(before.fingerprints().values()) < set(after.fingerprints().values())
    assert len(set(after.fingerprints().values())) == 3
    assert after.fingerprint() == after.fingerprint("0.9.0")


def test_a_renamed_field_is_accepted_by_both_names_and_an_older_study_keeps_the_old_one():
    old = declare(Study, tracking={"children": 5, "beyond": "all"})
    assert (old.tracking.child_runs, old.tracking.child_runs_after) == (5, "all")
    assert old == declare(Study, tracking={"child_runs": 5, "child_runs_after": "all"})
    assert old.fingerprint() == declare(Study).fingerprint()
    assert {"children", "beyond"} <= old.dump("0.1.0")["tracking"].keys()
    assert {"child_runs", "child_runs_after"} <= old.dump()["tracking"].keys()
    with pytest.raises(StudyError, match="children is the old name of child_runs, and both are given: keep child_runs"):
        declare(Study, tracking={"children": 5, "child_runs": 5})


@pytest.mark.parametrize("given", ["children", "child_runs"])
@pytest.mark.parametrize("typed", ["children", "child_runs"])
def test_an_override_replaces_a_renamed_field_whichever_name_either_has(given: str, typed: str):
    study = changed({**DECLARED, "tracking": {given: 7}}, [f"tracking.{typed}=0"], "study.yaml")
    assert study.tracking.child_runs == 0


def test_a_folder_keeps_the_version_in_which_its_study_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = StudyFolder(tmp_path / "grown")
    folder.path.mkdir()
    folder.claim(declare(Study), None, began_in="0.1.0")
    monkeypatch.setattr("gradstab.record.study_folder.Study", GrownStudy)
    folder.claim(declare(GrownStudy, budget={"trials": 9}), None)
    monkeypatch.undo()
    assert (folder.began_in(), folder.study().budget.trials) == ("0.1.0", 9)
    new = StudyFolder(tmp_path / "new")
    new.path.mkdir()
    new.claim(declare(Study), None)
    assert new.began_in() == "0.2.0"


def test_a_folder_of_a_newer_version_ends_in_a_sentence(tmp_path: Path):
    folder = StudyFolder(tmp_path / "grown")
    folder.path.mkdir()
    folder.claim(declare(GrownStudy), None)
    for ask in (folder.study, lambda: folder.claim(declare(Study), None)):
        with pytest.raises(StorageError, match=r"augmentation must be a field of a study.*began in version 0\.9\.0.*update gradstab"):  # fmt: skip
            ask()


def test_new_passes_of_an_activation_are_a_version_of_the_studies_that_use_it(monkeypatch: pytest.MonkeyPatch):
    before = declare(Study)
    monkeypatch.setattr(
        "gradstab.study.study.versions_of_passes", lambda names: {"0.10.0", "0.9.0"} if "tanh" in names else set()
    )
    assert declare(Study).versions() == ["0.1.0", "0.2.0", "0.9.0", "0.10.0"]
    assert declare(Study, recipe={"activation": "relu"}).versions() == ["0.1.0", "0.2.0"]
    assert declare(Study).fingerprint() == before.fingerprint()


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0"])
def test_a_schedule_counts_only_where_it_is_one(version: str):
    plain = declare(Study)
    assert not {"schedule", "warmup_steps"} & plain.dump(version)["recipe"].keys()
    given = declare(Study, recipe={"schedule": "constant", "warmup_steps": 0})
    assert given.fingerprint(version) == plain.fingerprint(version)
    for fields in ({"schedule": "cosine"}, {"warmup_steps": 5}):
        other = declare(Study, recipe=fields)
        assert other.fingerprint(version) != plain.fingerprint(version)
        assert declare(Study, **other.dump(version)) == other
