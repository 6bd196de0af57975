"""Another criterion from what the user typed: `ratio_band=0.5`, `responses=R,T`."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from gradstab.errors import UsageError
from gradstab.study.criterion import Criterion
from gradstab.study.did_you_mean import nearest
from gradstab.study.faults import sentences


def criterion_changes(base: Criterion, criterion: Criterion) -> list[str]:
    """The fields in which a criterion differs from another, as the user types them."""
    before = base.model_dump()
    return [
        f"{name}={','.join(value) if isinstance(value, tuple) else value}"
        for name, value in criterion.model_dump().items()
        if value != before[name]
    ]


def rejudged(base: Criterion, changes: Sequence[str]) -> Criterion:
    """The criterion with some of its fields replaced; `responses` may hold several, with commas.

    Raises:
        UsageError: a change is not FIELD=VALUE, or gives no sound criterion.
    """
    fields = base.model_dump()
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name not in fields:
            raise UsageError(
                f"--criterion must be FIELD=VALUE with a FIELD of {', '.join(fields)}, got {change!r}"
                f"{nearest(name, fields)}; "
                "for example --criterion ratio_band=0.5 or --criterion responses=R,T"
            )
        fields[name] = tuple(part.strip() for part in text.split(",")) if name == "responses" else text
    try:
        return Criterion.model_validate(fields)
    except ValidationError as error:
        raise UsageError("; ".join(sentences(error, "--criterion", Criterion.model_fields))) from None
