"""The peer, a process of its own: Ray Tune, OptunaSearch and MLflowLoggerCallback as their documentation shows.

https://docs.ray.io/en/latest/tune/examples/tune-mlflow.html and .../optuna_example.html (Ray 2.60). Written to FILE:
seconds from the start of Tune's loop to the return of `Tuner.fit`, and what each trial reported last.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.search.optuna import OptunaSearch

from gradstab.study.module_recipe import ModuleRecipe
from gradstab.theory.relative_scale import resolved_recipe
from tests.bench.studies import STUDIES, changed, spread_points

SEED = 0
_DOMAINS = {
    "integer": lambda axis: tune.randint(axis.low, axis.high + 1),
    "log_real": lambda axis: tune.loguniform(axis.low, axis.high),
    "choice": lambda axis: tune.choice(list(axis.choices)),
}


class Clock(tune.Callback):
    """Notes when the callbacks before it are set up: imports and MLflow's start are not charged to the peer."""

    begin = 0.0

    def setup(self, *arguments: Any, **info: Any) -> None:
        del arguments, info
        self.begin = time.monotonic()


def trainable(config: dict[str, Any]) -> None:
    """One training: imports, data and network inside the function, as Ray's pages have it."""
    import torch

    from gradstab.training.data import load_dataset
    from tests.bench.bare_loop import train_bare
    from tests.bench.bare_module import train_bare_module

    torch.set_num_threads(1)
    settings = dict(config)
    study = changed(STUDIES[settings.pop("study")], width=settings.pop("width"))
    recipe = resolved_recipe(study, settings)
    if isinstance(recipe, ModuleRecipe):
        train_bare_module(study, recipe, SEED, report=tune.report)
    else:
        train_bare(recipe, SEED, load_dataset(study.data, study.seed), report=tune.report)


def main() -> None:
    """Run the trials that the arguments ask for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--study", choices=sorted(STUDIES), required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--uri", help="of MLflow; without it nothing is logged")
    parser.add_argument("--reuse-actors", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    study = STUDIES[asked.study]
    # generous to the peer: no dashboard, and points of the study's mean depth, which costs its sampler less
    ray.init(address="local", num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False)
    space: dict[str, Any] = {name: _DOMAINS[axis.type](axis) for name, axis in study.space.items()}
    fixed = {"study": asked.study, "width": asked.width}
    clock = Clock()
    callbacks: list[tune.Callback] = [clock]
    if asked.uri:
        callbacks.insert(0, MLflowLoggerCallback(tracking_uri=asked.uri, experiment_name="peer"))
    tuner = tune.Tuner(
        trainable,
        param_space={**space, **fixed},
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            search_alg=OptunaSearch(points_to_evaluate=spread_points(study, asked.trials)),
            num_samples=asked.trials,
            reuse_actors=asked.reuse_actors,
        ),
        run_config=tune.RunConfig(name="peer", storage_path=str(Path.cwd() / "tune"), callbacks=callbacks, verbose=0),
    )
    grid = tuner.fit()
    seconds = time.monotonic() - clock.begin
    trials = []
    for index in range(len(grid)):
        result = grid[index]
        if result.error is not None or result.metrics is None or result.config is None:
            raise RuntimeError(f"a trial of the peer failed: {result.error}")
        point = {name: value for name, value in result.config.items() if name not in fixed}
        last = {name: result.metrics[name] for name in ("loss", "parameters")}
        trials.append({"point": point, "seed": SEED, **last})
    asked.out.write_text(json.dumps({"seconds": seconds, "trials": trials}))


if __name__ == "__main__":
    main()
