"""Every model of the zoo with its data, its loss, and where its gradient is to be compared."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo import chains, peculiar, recurrent, streams, transformers

B, STEPS = 6, 9


@dataclass(frozen=True)
class Case:
    """One model.

    Attributes:
        build: makes the module, under a fixed seed.
        data: makes inputs and targets.
        loss: what the probe is given.
        sample_loss: of outputs, targets and a sample's index: its own loss, for the twin.
        places: modules whose gradients are compared, in the order in which they run.
        inputs: at what they take, not at what they return.
        twin: the module that the twin runs, of the module that the probe is given; None for the same one.
        axis: what the probe should call the positions.
        tolerance: in decades; larger where the model computes constants in float32.
    """

    name: str
    build: Callable[[], nn.Module]
    data: Callable[[], tuple[Any, Any]]
    loss: Callable[[Any, Any], Tensor]
    sample_loss: Callable[[Any, Any, int], Tensor]
    places: tuple[str, ...]
    axis: str
    inputs: bool = False
    twin: Callable[[Any], Any] | None = None
    tolerance: float = 1e-10


def vectors() -> tuple[Tensor, Tensor]:
    return torch.randn(B, 6), torch.randint(0, 4, (B,))


def images() -> tuple[Tensor, Tensor]:
    return torch.randn(B, 2, 8, 8), torch.randint(0, 4, (B,))


def sequences() -> tuple[Tensor, Tensor]:
    return torch.randn(B, 5, 6), torch.randint(0, 4, (B,))


def numbers() -> tuple[Tensor, Tensor]:
    return torch.randn(B, 6), torch.randn(B)


def pairs() -> tuple[tuple[Tensor, Tensor], Tensor]:
    return (torch.randn(B, 6), torch.randn(B, 6)), torch.randint(0, 4, (B,))


def tokens() -> tuple[Tensor, Tensor]:
    return torch.randint(0, 11, (B, 5)), torch.randint(0, 11, (B, 5))


def tokens_twice() -> tuple[tuple[Tensor, Tensor], Tensor]:
    inputs, targets = tokens()
    return (inputs, targets), targets


def bert_inputs() -> tuple[dict[str, Tensor], Tensor]:
    mask = torch.tensor([[1, 1, 1, 1, 1 - index % 2] for index in range(B)])
    return {"input_ids": torch.randint(0, 11, (B, 5)), "attention_mask": mask}, torch.randint(0, 4, (B,))


def sample_entropy(outputs: Tensor, targets: Tensor, sample: int) -> Tensor:
    return functional.cross_entropy(outputs[sample : sample + 1], targets[sample : sample + 1])


def logits(outputs: Any) -> Tensor:
    if isinstance(outputs, transformers.Output):
        return outputs.logits
    found = outputs["logits"] if isinstance(outputs, dict) else outputs[0] if isinstance(outputs, tuple) else outputs
    assert isinstance(found, Tensor)
    return found


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    return functional.mse_loss(outputs.flatten(), targets)


def sample_squared(outputs: Tensor, targets: Tensor, sample: int) -> Tensor:
    return (outputs.flatten()[sample] - targets[sample].to(outputs)).square()


def token_loss(outputs: Any, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits(outputs).transpose(1, 2), targets)


def sample_token_loss(outputs: Any, targets: Tensor, sample: int) -> Tensor:
    return functional.cross_entropy(logits(outputs)[sample], targets[sample])


def numbered(pattern: str, count: int, every: int = 1) -> tuple[str, ...]:
    return tuple(pattern.replace("#", str(every * index)) for index in range(count))


def widened(module: nn.Module) -> nn.Module:
    for part in module.modules():
        if isinstance(part, transformers.RMSNorm):
            part.wide = torch.float64
    return module


def without_checkpoints(module: nn.Module) -> nn.Module:
    assert isinstance(module, chains.Checkpointed)
    return nn.Sequential(module.body, module.head)


def without_casts(module: nn.Module) -> nn.Module:
    assert isinstance(module, chains.Casting)
    parts = [part for layer in module.layers for part in (layer, nn.Tanh())]
    return nn.Sequential(*parts, module.head)


def complex_in_double(module: nn.Module) -> nn.Module:
    # torch warns where a whole module is moved to a complex type
    return copy.deepcopy(module)._apply(lambda t: t.to(torch.complex128) if t.is_complex() else t)  # type: ignore[no-untyped-call, no-any-return]


def parametrised(change: Callable[[nn.Module], nn.Module]) -> nn.Module:
    return nn.Sequential(*[change(part) if isinstance(part, nn.Linear) else part for part in chains.flat(6)])


def dead() -> nn.Module:
    module = chains.flat(5, 1.0, nn.ReLU)
    nn.init.constant_(module[4].bias, -100.0)  # type: ignore[arg-type]
    return module


def half_precision() -> nn.Module:
    return chains.flat(5, 1.0).to(torch.bfloat16)


ENTROPY = (functional.cross_entropy, sample_entropy)
TOKENS = (token_loss, sample_token_loss)
FLAT = numbered("#", 8, 2)

CASES = [
    Case("tanh chain", chains.flat, vectors, *ENTROPY, FLAT, "layers"),
    Case("exploding chain", lambda: chains.flat(8, 4.0, nn.ReLU), vectors, *ENTROPY, FLAT, "layers"),
    Case("vanishing chain", lambda: chains.flat(8, 0.4), vectors, *ENTROPY, FLAT, "layers"),
    Case("deep sigmoid chain", lambda: chains.flat(50, 1.0, nn.Sigmoid), vectors, *ENTROPY, numbered("#", 50, 2), "layers"),
    Case("in-place ReLU chain", lambda: chains.flat(8, 1.4, nn.ReLU, inplace=True), vectors, *ENTROPY, FLAT, "layers"),
    Case("chain in blocks", chains.blocks, vectors, *ENTROPY, numbered("#.linear", 8), "layers"),
    Case("bfloat16 chain", half_precision, vectors, *ENTROPY, numbered("#", 5, 2), "layers"),
    Case("convolutional chain", chains.Convolutional, images, *ENTROPY,
         (*numbered("features.#", 6, 2), "classifier.0"), "layers"),
    Case("weight norm", lambda: parametrised(nn.utils.parametrizations.weight_norm), vectors, *ENTROPY,
         numbered("#", 6, 2), "layers"),
    Case("spectral norm in eval", lambda: parametrised(nn.utils.parametrizations.spectral_norm).eval(), vectors, *ENTROPY,
         numbered("#", 6, 2), "layers"),
    Case("checkpoints", lambda: chains.Checkpointed(reentrant=False), vectors, *ENTROPY, numbered("0.#.linear", 6),
         "layers", twin=without_checkpoints),
    Case("reentrant checkpoints", lambda: chains.Checkpointed(reentrant=True), vectors, *ENTROPY,
         numbered("0.#.linear", 6), "layers", twin=without_checkpoints),
    Case("checkpoints in segments", lambda: chains.CheckpointedInSegments(reentrant=False), vectors, *ENTROPY,
         numbered("0.#.linear", 6), "layers", twin=without_checkpoints),
    Case("casts and autocast inside", chains.Casting, vectors, *ENTROPY, numbered("#", 5, 2), "layers", twin=without_casts),
    Case("cannot be copied", chains.Locked, vectors, *ENTROPY, numbered("#", 4, 2), "layers", twin=lambda m: m.body),
    Case("keeps activations", chains.Keeping, vectors, *ENTROPY, numbered("body.#", 4, 2), "layers"),
    Case("half frozen", chains.HalfFrozen, vectors, *ENTROPY, numbered("trained.#.linear", 4), "layers"),
    Case("two heads", chains.TwoHeads, vectors,
         lambda out, y: functional.cross_entropy(out["policy"], y) + out["value"].square().mean(),
         lambda out, y, b: functional.cross_entropy(out["policy"][b], y[b]) + out["value"][b].square().mean(),
         numbered("body.#", 3, 2), "layers"),
    Case("dead units", dead, vectors, *ENTROPY, numbered("#", 5, 2), "layers"),
    Case("batch normalisation", chains.normalised, vectors, *ENTROPY, numbered("#", 6, 3), "layers"),
    Case("compiled", lambda: torch.compile(chains.flat()), vectors, *ENTROPY, FLAT, "layers",  # type: ignore[arg-type, return-value]
         twin=lambda m: m._orig_mod),
    Case("ResNet", streams.ResNet, images, *ENTROPY, ("layer1.0", "layer1.1", "layer2.0", "layer2.1"), "blocks"),
    Case("ResNet, group norm", lambda: streams.ResNet("group"), images, *ENTROPY,
         ("layer1.0", "layer1.1", "layer2.0", "layer2.1"), "blocks"),
    Case("DenseNet", streams.DenseNet, images, *ENTROPY, numbered("layers.#", 5), "blocks"),
    Case("MobileNetV3", streams.MobileNet, images, *ENTROPY, numbered("blocks.#", 4), "blocks"),
    Case("ConvNeXt", streams.ConvNext, images, *ENTROPY, numbered("blocks.#", 5), "blocks"),
    Case("ReZero", streams.ReZero, vectors, *ENTROPY, numbered("blocks.#", 5), "blocks"),
    Case("residual written flat", streams.FlatResidual, vectors, *ENTROPY, numbered("norms.#", 5), "block inputs", inputs=True),
    Case("one block many times", streams.Iterated, vectors, *ENTROPY, ("block",) * 6, "calls", inputs=True),
    Case("siamese", streams.Siamese, lambda: ((torch.randn(B, 6), torch.randn(B, 6)), torch.randint(0, 4, (B,))), *ENTROPY,
         numbered("encoder.blocks.#", 4), "blocks"),
    Case("nanoGPT, tied", transformers.NanoGPT, tokens, *TOKENS, numbered("h.#", 4), "blocks"),
    Case("nanoGPT, loss inside", transformers.NanoGPT, tokens_twice,
         lambda out, y: out.loss, sample_token_loss, numbered("h.#", 4), "blocks"),
    Case("GPT-2, bare weights", lambda: transformers.NanoGPT(conv1d=True), tokens, *TOKENS, numbered("h.#", 4), "blocks"),
    Case("Llama", transformers.Llama, tokens, *TOKENS, numbered("layers.#", 4), "blocks", twin=widened, tolerance=1e-8),
    Case("BERT", transformers.Bert, bert_inputs, lambda out, y: functional.cross_entropy(logits(out), y),
         lambda out, y, b: sample_entropy(logits(out), y, b), numbered("layer.#", 4), "blocks"),
    Case("TransformerEncoder, post-norm", transformers.EncoderOnly, sequences, *ENTROPY,
         numbered("encoder.layers.#", 4), "blocks"),
    Case("TransformerEncoder, pre-norm", lambda: transformers.EncoderOnly(norm_first=True), sequences, *ENTROPY,
         numbered("encoder.layers.#", 4), "blocks"),
    Case("nn.Transformer, sequence first", transformers.EncoderDecoder,
         lambda: ((torch.randint(0, 11, (7, B)), torch.randint(0, 11, (5, B))), torch.randint(0, 11, (5, B))),
         lambda out, y: functional.cross_entropy(out.flatten(0, 1), y.flatten()),
         lambda out, y, b: functional.cross_entropy(out[:, b], y[:, b]),
         numbered("transformer.decoder.layers.#", 4), "blocks"),
    Case("hypernetwork", chains.HyperNetwork, vectors, *ENTROPY, numbered("activations.#", 4), "calls", inputs=True),
    Case("recurrence under no_grad", peculiar.FrozenRecurrence, sequences, *ENTROPY, ("body.0", "body.1", "body.3", "body.5", "body.7"),
         "layers"),
    Case("both ways under inference mode", lambda: peculiar.FrozenRecurrence(nn.LSTM, inference=True, bidirectional=True),
         sequences, *ENTROPY, ("body.0", "body.1", "body.3", "body.5", "body.7"), "layers"),
    Case("returns an object with slots", peculiar.InSlots, vectors, lambda out, y: functional.cross_entropy(out.logits, y),
         lambda out, y, b: functional.cross_entropy(out.logits[b], y[b]), numbered("body.#", 4, 2), "layers"),
    Case("weights in one vector", peculiar.OneVector, vectors, *ENTROPY, numbered("activations.#", 5), "calls", inputs=True),
    Case("readout by a vector", peculiar.OneVectorReadout, numbers, squared, sample_squared, numbered("body.#", 5, 2), "layers"),
    Case("from one number to one", peculiar.Bottlenecked, numbers, squared, sample_squared, numbered("body.#", 4, 2), "layers"),
    Case("two towers", peculiar.TwoTowers, pairs, *ENTROPY, numbered("key.#", 6, 2), "layers"),
    Case("siamese chains", lambda: peculiar.TwoTowers(shared=True), pairs, *ENTROPY, numbered("query.#", 4, 2), "layers"),
    Case("attention in a chain", peculiar.OnlyAttention, sequences, *ENTROPY, numbered("layers.#", 4), "layers"),
    Case("mixture of experts", peculiar.mixture_of_experts, vectors, *ENTROPY, ("1", "2", "3", "4"), "blocks"),
    Case("everything in place", peculiar.in_place, vectors, *ENTROPY, ("1", "2", "3", "4", "5"), "blocks"),
    Case("complex numbers", peculiar.ComplexNumbers, vectors, *ENTROPY, numbered("layers.#", 4), "layers",
         twin=complex_in_double),
    Case("moving average updated", peculiar.Averaging, vectors, *ENTROPY, numbered("body.#", 4, 2), "layers"),
    Case("RNN cell in a loop", lambda: recurrent.CellLoop(nn.RNNCell),
         lambda: (torch.randn(B, STEPS, 3), torch.randint(0, 4, (B,))), *ENTROPY, ("cell",) * STEPS, "calls"),
    Case("GRU cell, loss at every step", lambda: recurrent.CellLoop(nn.GRUCell, every_step=True),
         lambda: (torch.randn(B, STEPS, 3), torch.randint(0, 4, (B, STEPS))),
         lambda out, y: functional.cross_entropy(out.transpose(1, 2), y),
         lambda out, y, b: functional.cross_entropy(out[b], y[b]), ("cell",) * STEPS, "calls"),
]  # fmt: skip
