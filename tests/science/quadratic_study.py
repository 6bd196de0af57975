"""Gradient descent on a quadratic, as a study of a user's own module: it is stable up to 2 / sharpness.

The loss is sum_i lambda_i x_i^2 / 2 over 8 directions, the sharpest of them `sharpness`, the flattest a hundredth of it.
Every training starts at a loss of 1 in a direction of its own. A training is stable if its loss ends below where it
began: just below 2 / sharpness it falls slowly, but it falls.
"""

import torch
from torch import nn

from gradstab import LogReal, Model, Study

DIRECTIONS = 8
ROWS = 64


class Point(nn.Module):
    """The place in the landscape; it does not look at the rows, so every batch is the full batch."""

    def __init__(self, curvature: torch.Tensor) -> None:
        super().__init__()
        place = torch.randn(DIRECTIONS)
        loss = 0.5 * (curvature * place**2).sum()
        self.place = nn.Parameter(place / loss.sqrt())

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.place.expand(len(rows), -1)


class Quadratic(nn.Module):
    stretch: torch.Tensor

    def __init__(self, sharpness: float) -> None:
        super().__init__()
        curvature = sharpness * torch.logspace(0, -2, DIRECTIONS)
        self.register_buffer("stretch", curvature.sqrt())
        self.point = Point(curvature)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        slopes: torch.Tensor = self.stretch * self.point(rows)
        return slopes


def build(sharpness: float) -> nn.Module:
    return Quadratic(sharpness)


def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    del targets
    return 0.5 * (outputs**2).sum(1)


def data() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(ROWS, 1), torch.zeros(ROWS, 1)


STUDY = Study(
    name="quadratic",
    question="Up to which learning rate does gradient descent on a quadratic fall?",
    prediction="up to 2 / sharpness",
    model=Model(build, loss, settings={"sharpness": 1.0}, taps="point", reference_loss=1.0, target_loss=1.0),
    data=data,
    space={"learning_rate": LogReal(0.01, 100)},
    recipe={"optimizer": "sgd", "steps": 100, "batch_size": ROWS, "probe_every": 50, "probe_samples": 64},
    criterion={"responses": ["T"]},
    budget={"trials": 64},
    tracking={"child_runs": 0},
)
