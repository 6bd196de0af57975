"""The copy of a model that is read, and what the model and its copy have in common."""

from __future__ import annotations

import torch
from torch import nn

from gradstab.probing.copies import private_copy
from gradstab.probing.precision import Types
from gradstab.watching.processes import make_local

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def copy_to_read(inner: nn.Module, types: Types) -> tuple[nn.Module, list[str]]:
    """A private copy, less the hooks of the user: they would run once more than the training runs them.

    Returns:
        The copy, and the names of the parts that had such hooks.
    """
    own = private_copy(inner, types)
    make_local(own)
    return own, [name for name, part in own.named_modules() if _drop_hooks(part, own)]


def modes_of(inner: nn.Module) -> dict[str, bool]:
    """Which parts are in training mode."""
    return {name.replace("_orig_mod.", ""): part.training for name, part in inner.named_modules()}


def named_parameters(inner: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters by the names that a private copy has for them, in which no part is compiled."""
    return {name.replace("_orig_mod.", ""): value for name, value in inner.named_parameters()}


def trained_names(inner: nn.Module) -> tuple[str, ...]:
    """Names of the parameters that the training changes."""
    return tuple(name for name, value in named_parameters(inner).items() if value.requires_grad)


def device_of(module: nn.Module) -> torch.device:
    """Where the first parameter is."""
    first = next(module.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def _drop_hooks(part: nn.Module, own: nn.Module) -> bool:
    """Drop a part's hooks that come neither from torch nor from the module itself; whether there were any."""
    dropped = False
    for kind in _HOOKS:
        hooks = getattr(part, kind)
        for key, hook in list(hooks.items()):
            home = getattr(hook, "__module__", None) or type(hook).__module__
            of_module = any(getattr(hook, "__self__", None) is one for one in own.modules())
            if not (home.partition(".")[0] == "torch" or of_module):
                del hooks[key]
                dropped = True
    return dropped
