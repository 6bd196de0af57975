"""A decoder: blocks of causal attention and two fully connected layers, as in GPT-2.

Attention is written out in products of matrices. `torch.func.vmap` runs the backward pass of
`scaled_dot_product_attention` one member after another, so that a pack gains nothing.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from gradstab.errors import UsageError
from gradstab.families.parts.initial_weights import scaled_linear

TRACED = ("init_scale", "residual_scale")


class Attention(nn.Module):
    """Each position takes the mean of values at itself and before, weighted by softmax(q k / sqrt(head width))."""

    def __init__(self, width: int, heads: int, qk_norm: bool, init_scale: float, last_scale: float) -> None:
        super().__init__()
        self.inward, self.outward = scaled_linear(width, 3 * width, init_scale), scaled_linear(width, width, last_scale)
        self.query_norm, self.key_norm = (nn.LayerNorm(width // heads) if qk_norm else nn.Identity() for _ in range(2))
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) to (B, T, width)."""
        batch, length, width = x.shape
        parts = self.inward(x).view(batch, length, 3, self.heads, -1).transpose(1, 3).unbind(2)
        query, key, value = self.query_norm(parts[0]), self.key_norm(parts[1]), parts[2]  # (B, heads, T, head width)
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        scores = (query @ key.transpose(-1, -2) / math.sqrt(key.shape[-1])).masked_fill(later, -math.inf)
        mixed: Tensor = self.outward((scores.softmax(-1) @ value).transpose(1, 2).reshape(batch, length, width))
        return mixed


class Block(nn.Module):
    """Attention, then two layers with GELU, each added to the stream. pre: x + s f(norm(x)); post: norm(x + s f(x))."""

    residual_scale: Tensor

    def __init__(
        self, attention: Attention, width: int, init_scale: float, last_scale: float, scale: float, pre: bool
    ) -> None:
        super().__init__()
        self.attention, self.norm_1, self.norm_2 = attention, nn.LayerNorm(width), nn.LayerNorm(width)
        up, down = scaled_linear(width, 4 * width, init_scale), scaled_linear(4 * width, width, last_scale)
        self.mlp, self.pre = nn.Sequential(up, nn.GELU(), down), pre
        self.register_buffer("residual_scale", torch.tensor(scale))  # a buffer may differ between members of a pack

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, width) to (B, T, width)."""
        scale = self.residual_scale
        for norm, branch in ((self.norm_1, self.attention), (self.norm_2, self.mlp)):
            x = x + scale * branch(norm(x)) if self.pre else norm(x + scale * branch(x))
        return x


class Decoder(nn.Module):
    """Tokens and positions embedded, the blocks, and logits of the next token."""

    def __init__(self, blocks: list[Block], width: int, vocabulary: int, context: int, tied: bool) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(vocabulary, width) / math.sqrt(width))
        self.positions = nn.Parameter(torch.randn(context, width))
        self.blocks = nn.ModuleList(blocks)
        self.last_norm = nn.LayerNorm(width) if blocks[0].pre else nn.Identity()
        self.readout = None if tied else scaled_linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, T) to (B, T, vocabulary)."""
        length, context = tokens.shape[1], len(self.positions)
        if length > context:
            raise UsageError(f"sequences must be at most context={context} tokens long, got {length}: raise context")
        embedded = functional.embedding(tokens, self.tokens) * math.sqrt(self.tokens.shape[1])
        x = embedded + self.positions[:length]
        for block in self.blocks:
            x = block(x)
        x = self.last_norm(x)
        logits: Tensor = x @ self.tokens.T if self.readout is None else self.readout(x)
        return logits


def build(
    *,
    depth: int = 4,
    width: int = 64,
    heads: int = 4,
    norm_place: Literal["pre", "post"] = "pre",
    branch_init: Literal["usual", "zero", "depth-scaled"] = "usual",
    residual_scale: float = 1.0,
    init_scale: float = 1.0,
    qk_norm: bool = False,
    tied: bool = True,
    vocabulary: int = 256,
    context: int = 64,
) -> nn.Module:
    """A fresh decoder.

    Args:
        depth: blocks L; each adds to the stream twice.
        width: numbers in the stream; heads must divide it.
        heads: attention heads.
        norm_place: layer normalisation before each branch (pre), or after each addition (post).
        branch_init: of a branch's last matrix: as the others (usual), zero, or smaller by sqrt(2 L), as in GPT-2.
        residual_scale: s, the factor of every branch, in training too.
        init_scale: sigma_w, the standard deviation of a branch's weight times sqrt(fan_in).
        qk_norm: whether queries and keys are normalised (Henry et al. 2020).
        tied: whether the readout is the matrix that embeds the tokens.
        vocabulary: number of tokens.
        context: the longest sequence T.
    """
    if width % heads:
        raise UsageError(f"heads must divide width, got {heads} heads for width {width}")
    last_scale = init_scale * {"usual": 1.0, "zero": 0.0, "depth-scaled": (2 * depth) ** -0.5}[branch_init]
    blocks = [
        Block(
            Attention(width, heads, qk_norm, init_scale, last_scale),
            width,
            init_scale,
            last_scale,
            residual_scale,
            norm_place == "pre",
        )
        for _ in range(depth)
    ]
    return Decoder(blocks, width, vocabulary, context, tied)


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy over the tokens of each sample in nats, (B,); targets are the next tokens, (B, T)."""
    return functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none").mean(1)
