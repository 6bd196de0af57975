"""A private copy of a user's module, in the types asked for, so that the original stays as it is."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from gradstab.probing.precision import Types
from gradstab.probing.refusals import one_line, refuse
from gradstab.probing.trees import tensors

_Kind = TypeVar("_Kind", bound=nn.Module)
_COMPILED = "_orig_mod"
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def refuse_unready(module: nn.Module) -> None:
    """Refuse what has no weights yet, and normalisation by running statistics that were never updated.

    Raises:
        UsageError: with the name of the part.
    """
    if not isinstance(module, nn.Module):
        refuse(f"module must be a torch.nn.Module, got {type(module).__name__}: pass the object that you train")
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        refuse("the module is compiled to TorchScript, whose parts cannot be watched: probe the Python module instead")
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if isinstance(value, UninitializedParameter | UninitializedBuffer):
            refuse(f"{name} is lazy and has no shape yet: call the module once on a batch, then probe it")
    for name, part in module.named_modules():
        if isinstance(part, _NormBase) and not part.training and _untouched(part):
            refuse(
                f"{name or 'the module'} ({type(part).__name__}) is in eval mode with running statistics that were "
                "never updated: call module.train() to measure what is trained"
            )


def bare_module(module: nn.Module) -> nn.Module:
    """The module inside `torch.compile` and data-parallel wrappers."""
    while True:
        inner = vars(module).get("_modules", {}).get(_COMPILED)
        if inner is None and isinstance(module, _WRAPPERS):
            inner = module.module
        if inner is None:
            return module
        module = inner


def private_copy(module: _Kind, types: Types) -> _Kind:
    """A deep copy with floating-point weights and buffers in the types asked for, every weight differentiable.

    What cannot be copied (locks, open files) is shared with the original.

    Raises:
        UsageError: the module cannot be copied at all.
    """
    memo = _memo(module)
    try:
        own = copy.deepcopy(module, dict(memo))
    except Exception:
        try:
            own = _copied_by_parts(module, memo)
        except Exception as error:
            refuse(f"the module must be one that can be copied, but copying it raised {one_line(error)}")
    for part in own.modules():
        for name, child in part.named_children():
            if _COMPILED in child._modules:
                part._modules[name] = bare_module(child)
    own._apply(lambda tensor: tensor.to(types.get(tensor.dtype, tensor.dtype)))  # type: ignore[no-untyped-call]
    for parameter in own.parameters():
        if parameter.is_floating_point() or parameter.is_complex():
            parameter.requires_grad_(True)
            parameter.grad = None
    return own


def _untouched(part: _NormBase) -> bool:
    if part.running_mean is None or part.running_var is None:
        return False
    tracked = part.num_batches_tracked
    fresh = tracked is None or int(tracked) == 0
    return fresh and not bool(part.running_mean.any()) and bool((part.running_var == 1).all())


def _memo(module: nn.Module) -> dict[int, Any]:
    """What deepcopy cannot copy itself: kept activations, which have a history, and generators."""
    memo: dict[int, Any] = {}
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, torch.Generator):
                memo[id(value)] = value.clone_state()
            for tensor in tensors(value):
                if not tensor.is_leaf:
                    memo[id(tensor)] = tensor.detach().clone()
    return memo


def _copied_by_parts(module: _Kind, memo: dict[int, Any]) -> _Kind:
    """The tree of modules rebuilt around copies of their attributes; an attribute that refuses is shared."""
    for part in module.modules():
        memo[id(part)] = object.__new__(type(part))
    for part in module.modules():
        replica = memo[id(part)]
        for key, value in vars(part).items():
            if key == "_compiled_call_impl":
                continue
            try:
                vars(replica)[key] = copy.deepcopy(value, memo)
            except Exception:
                vars(replica)[key] = value.detach().clone() if isinstance(value, Tensor) else value
    own: _Kind = memo[id(module)]
    return own
