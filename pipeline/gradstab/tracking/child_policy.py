"""Which trials get a run of their own in MLflow. Every trial is in the study's table, in Optuna and in the segments."""

from __future__ import annotations

from gradstab.record.shipping_order import ShippingOrder
from gradstab.stability.judgement import Judgement

NEAR_BOUNDARY = 0.25  # of a band
SAMPLE_EVERY = 10


def gets_run(order: ShippingOrder, number: int, judgement: Judgement | None) -> bool:
    """Whether trial `number` gets a run: always below `child_runs`, and from there on as `child_runs_after` says."""
    if number < order.child_runs or order.child_runs_after == "all":
        return True
    if order.child_runs_after == "sample":
        return number % SAMPLE_EVERY == 0
    return order.child_runs_after == "boundary" and judgement is not None and abs(judgement.margin) <= NEAR_BOUNDARY
