"""A private copy of a user's module, in the types asked for, so that the original stays as it is."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import CellType, FunctionType, MethodType
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
_WITHOUT_HISTORY = {"_parameters", "_modules"}  # of a module: leaves, and other modules
_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def refuse_unready(module: nn.Module) -> None:
    """Refuse what has no weights yet, what is compiled, and normalisation by statistics that were never updated.

    Raises:
        UsageError: with the name of the part.
    """
    if not isinstance(module, nn.Module):
        refuse(f"module must be a torch.nn.Module, got {type(module).__name__}: pass the object that you train")
    for name, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            subject = name or "the module"
            refuse(
                f"{subject} is compiled to TorchScript, whose parts cannot be watched: probe the Python module instead"
            )
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        if isinstance(value, UninitializedParameter | UninitializedBuffer):
            refuse(f"{name} is lazy and has no shape yet: call the module once on a batch, then probe it")
        if value.is_meta:
            refuse(f"{name} lies on the meta device and has no values: build the module on a device that holds them")
    for name, part in module.named_modules():
        if isinstance(part, _NormBase) and not part.training and _untouched(part):
            refuse(
                f"{name or 'the module'} ({type(part).__name__}) is in eval mode with running statistics that were "
                "never updated: call module.train() to measure what is trained"
            )


def refuse_infinite_weights(module: nn.Module) -> None:
    """Refuse weights that are no numbers: what they give says nothing of the network.

    A mask of minus infinities that is kept as a parameter is not trained, and passes.

    Raises:
        UsageError: with the name of the first one.
    """
    for name, weight in module.named_parameters():
        if not (weight.is_floating_point() or weight.is_complex()):
            continue
        wrong = ~torch.isfinite(weight) if weight.requires_grad else torch.isnan(weight)
        if bool(wrong.any()):
            refuse(f"{name} holds NaN or infinite weights: probe the network as it was before it diverged")


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
    copies = dict(memo)
    try:
        own = copy.deepcopy(module, copies)
    except Exception:
        copies = memo
        try:
            own = _copied_by_parts(module, copies)
        except Exception as error:
            refuse(f"the module must be one that can be copied, but copying it raised {one_line(error)}")
    _lead_closures_to(own, copies)
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
        for name, value in vars(part).items():
            if name in _WITHOUT_HISTORY or value is None or isinstance(value, bool | int | float | str):
                continue
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


def _lead_closures_to(own: nn.Module, copies: Mapping[int, Any]) -> None:
    """Let functions that a part keeps, as a `forward` put on an object, call the copies of the modules they hold.

    deepcopy leaves functions as they are, so that they would go on calling the user's own module.
    """

    def led(cell: CellType) -> CellType:
        try:
            return CellType(copied(cell.cell_contents))
        except ValueError:  # still empty
            return cell

    def copied(value: Any) -> Any:
        if isinstance(value, nn.Module):
            return copies.get(id(value), value)
        if isinstance(value, MethodType) and isinstance(value.__self__, nn.Module):
            return MethodType(value.__func__, copied(value.__self__))
        return value

    for part in own.modules():
        for key, function in vars(part).items():
            if isinstance(function, FunctionType) and function.__closure__:
                cells = tuple(map(led, function.__closure__))
                own_function = FunctionType(
                    function.__code__, function.__globals__, function.__name__, function.__defaults__, cells
                )
                own_function.__kwdefaults__ = function.__kwdefaults__
                vars(part)[key] = own_function
