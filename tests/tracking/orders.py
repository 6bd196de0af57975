"""What a shipper is told in tests: a whole study over some axes."""

from __future__ import annotations

from typing import Any

from gradstab.record.shipping_order import ShippingOrder
from gradstab.study.study import Study

SPACE: dict[str, Any] = {
    "depth": {"type": "log_integer", "low": 1, "high": 1000},
    "init_scale": {"type": "log_real", "low": 0.1, "high": 40.0},
}


def study_over(space: dict[str, Any] | None = None, **fields: Any) -> Study:
    """A study over these axes, by default depth and init scale."""
    given = {"name": "s", "question": "?", "space": space or SPACE, "budget": {"trials": 100}}
    return Study.model_validate({**given, **fields})


def order_of(space: dict[str, Any] | None = None, **fields: Any) -> ShippingOrder:
    """The order of a study over these axes; `fields` are fields of the order."""
    study = study_over(space, **fields.pop("study_fields", {}))
    given = {
        "study": "s", "study_id": "id", "uri": "sqlite:////none", "study_file": "s.py", "resolved": study.dump(),
        "versions": {}, "criterion": study.criterion, "budget": 100, "updated_ms": 0,
    }  # fmt: skip
    return ShippingOrder.model_validate({**given, **fields})
