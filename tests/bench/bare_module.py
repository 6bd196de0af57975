"""A bare PyTorch loop over a network that ships: the training that people write, with the norms of all gradients.

It starts from the same weights and sees the same batches as gradstab's trainer, so that both can be compared.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

import torch
from torch import nn

from gradstab.families.registry import FAMILIES
from gradstab.study.module_recipe import ModuleRecipe
from gradstab.study.study import Study
from gradstab.training.data import BatchOrder
from gradstab.training.modules.program import Program
from gradstab.training.tensor_data import TensorData, load_tensor_data
from tests.bench.bare_loop import Report, make_optimizer
from tests.bench.studies import OF_MODULES, builder_of

CPU = torch.device("cpu")


@cache
def program_of(study_name: str) -> Program:
    """The builder and the loss of the network that a study trains."""
    family = import_module(FAMILIES[builder_of(OF_MODULES[study_name])])
    return Program(family.build, family.loss)


def train_bare_module(
    study: Study, recipe: ModuleRecipe, seed: int, data: TensorData | None = None, report: Report | None = None
) -> tuple[list[float], int]:
    """Losses of all steps and the number of parameters; `report` is given norms on every `probe_every`-th step."""
    data = data or load_tensor_data(study.data, study.seed)
    program = program_of(study.name)
    with torch.enable_grad():
        module = program.built(recipe, seed)
        optimizer = make_optimizer(module, recipe)
        batches = BatchOrder([seed], data.num_rows, recipe.batch_size)
        losses = []
        parameters = sum(parameter.numel() for parameter in module.parameters())
        for step in range(recipe.steps):
            inputs, targets = data.batch(batches.next()[0], torch.float32, CPU)
            optimizer.zero_grad()
            loss = program.loss(module(inputs), targets).mean()
            loss.backward()
            if step % recipe.probe_every == 0 and report is not None:
                report({"loss": loss.item(), "parameters": parameters, **gradient_metrics(module)})
            nn.utils.clip_grad_norm_(module.parameters(), recipe.clip_threshold)
            losses.append(loss.item())
            optimizer.step()
    return losses, parameters


def gradient_metrics(module: nn.Module) -> dict[str, float]:
    """Norm and largest entry of the gradient of every parameter."""
    metrics = {}
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            metrics[f"grad_norm_{name}"] = parameter.grad.norm().item()
            metrics[f"grad_max_{name}"] = parameter.grad.abs().max().item()
    return metrics
