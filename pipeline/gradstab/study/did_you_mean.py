"""Hints at the name that the user probably meant: a similar one, or what other programs call the same thing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

# what users of other programs type, and what it is here; only names that are known in the place are suggested
SYNONYMS: dict[str, tuple[str, ...]] = {
    "lr": ("learning_rate",),
    "step_size": ("learning_rate",),
    "eta": ("learning_rate",),
    "warmup": ("warmup_steps",),
    "warm_up": ("warmup_steps",),
    "num_warmup_steps": ("warmup_steps",),
    "lr_schedule": ("schedule",),
    "scheduler": ("schedule",),
    "lr_scheduler": ("schedule",),
    "epochs": ("steps",),
    "iterations": ("steps",),
    "num_steps": ("steps",),
    "max_steps": ("steps",),
    "layers": ("depth",),
    "num_layers": ("depth",),
    "n_layers": ("depth",),
    "hidden_layers": ("depth",),
    "hidden": ("width",),
    "hidden_size": ("width",),
    "hidden_dim": ("width",),
    "units": ("width",),
    "neurons": ("width",),
    "nonlinearity": ("activation",),
    "act": ("activation",),
    "sigma_w": ("init_scale",),
    "std": ("init_scale",),
    "gain": ("init_scale",),
    "sigma_b": ("bias_scale",),
    "init": ("init_distribution",),
    "initializer": ("init_distribution",),
    "batch": ("batch_size",),
    "bs": ("batch_size",),
    "wd": ("weight_decay",),
    "l2": ("weight_decay",),
    "beta": ("momentum",),
    "grad_clip": ("clip",),
    "clipping": ("clip",),
    "clip_norm": ("clip_threshold",),
    "max_norm": ("clip_threshold",),
    "max_grad_norm": ("clip_threshold",),
    "optim": ("optimizer",),
    "opt": ("optimizer",),
    "dtype": ("precision",),
    "seeds": ("replicates",),
    "repeats": ("replicates",),
    "num_seeds": ("replicates",),
    "dataset": ("data",),
    "search_space": ("space",),
    "parameters": ("space",),
    "params": ("space", "recipe"),
    "config": ("recipe",),
    "n_trials": ("trials", "budget"),
    "num_trials": ("trials", "budget"),
    "trials": ("budget",),
    "max_trials": ("trials", "budget"),
    "timeout": ("minutes", "budget"),
    "description": ("question",),
    "hypothesis": ("prediction",),
    "cpus": ("slots", "resources"),
    "gpus": ("gpu_share", "resources"),
    "workers": ("slots", "resources"),
    "num_workers": ("slots", "resources"),
    "min": ("low",),
    "max": ("high",),
    "lower": ("low",),
    "upper": ("high",),
    "values": ("choices",),
    "options": ("choices",),
    "swish": ("silu",),
    "logistic": ("sigmoid",),
    "lrelu": ("leaky_relu",),
    "leakyrelu": ("leaky_relu",),
    "identity": ("linear",),
    "none": ("linear",),
    "gaussian": ("normal",),
    "trunc_normal": ("truncated_normal",),
    "sgd_momentum": ("sgd",),
    "float": ("real", "float32"),
    "double": ("float64",),
    "fp32": ("float32",),
    "fp64": ("float64",),
    "int": ("integer",),
    "log": ("log_real",),
    "loguniform": ("log_real",),
    "log_uniform": ("log_real",),
    "log_float": ("log_real",),
    "uniform": ("real", "random"),
    "log_int": ("log_integer",),
    "categorical": ("choice",),
    "bool": ("choice",),
    "quasirandom": ("sobol",),
    "qmc": ("sobol",),
    "bayesian": ("gp",),
    "cma": ("cmaes",),
    "cma_es": ("cmaes",),
    "cma-es": ("cmaes",),
    "cuda": ("gpu",),
    "global_norm": ("norm",),
}


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at the known name that an unknown one probably means, or nothing; capitals do not matter."""
    meant = meant_name(name, known)
    return "" if meant is None else f"; did you mean {meant!r}?"


def meant_name(name: str, known: Iterable[str]) -> str | None:
    """The known name that an unknown one probably means, or None."""
    names = list(known)
    lower = name.strip().lower().replace(" ", "_")
    for one in names:
        if one.lower() == lower:
            return one
    for one in SYNONYMS.get(lower, SYNONYMS.get(lower.replace("-", "_"), ())):
        if one in names:
            return one
    if lower in SYNONYMS:  # what it means is not known here, and what looks like it means something else
        return None
    matches = difflib.get_close_matches(lower, names, n=1)
    return matches[0] if matches else None
