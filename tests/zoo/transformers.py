"""Transformers as people write them: nanoGPT, GPT-2, Llama, BERT, ViT, DiT and torch's own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY, WIDTH, HEADS, LENGTH, CLASSES = 11, 8, 2, 5, 4


class Conv1D(nn.Module):
    """GPT-2's linear layer, whose weight is a bare parameter the other way round."""

    def __init__(self, outside: int, inside: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inside, outside) * 0.2)
        self.bias = nn.Parameter(torch.zeros(outside))

    def forward(self, x):
        return torch.addmm(self.bias, x.view(-1, x.size(-1)), self.weight).view(*x.shape[:-1], -1)


class Attention(nn.Module):
    def __init__(self, make: type[nn.Module] | None = None, *, causal: bool = True) -> None:
        super().__init__()
        self.c_attn = Conv1D(3 * WIDTH, WIDTH) if make else nn.Linear(WIDTH, 3 * WIDTH)
        self.c_proj = Conv1D(WIDTH, WIDTH) if make else nn.Linear(WIDTH, WIDTH)
        self.causal = causal

    def forward(self, x, mask=None):
        batch, length, _ = x.shape
        q, k, v = (part.view(batch, length, HEADS, -1).transpose(1, 2) for part in self.c_attn(x).split(WIDTH, dim=2))
        scores = q @ k.transpose(-2, -1) / math.sqrt(k.size(-1))
        if self.causal:
            scores = scores.masked_fill(
                ~torch.ones(length, length, dtype=torch.bool).tril(), torch.finfo(scores.dtype).min
            )
        if mask is not None:
            scores = scores + (1.0 - mask[:, None, None, :].type_as(scores)) * -1e9
        weights = scores.softmax(-1)
        return self.c_proj((weights @ v).transpose(1, 2).reshape(batch, length, -1)), weights


class Block(nn.Module):
    def __init__(self, make: type[nn.Module] | None = None) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = Attention(make)
        self.fc = Conv1D(2 * WIDTH, WIDTH) if make else nn.Linear(WIDTH, 2 * WIDTH)
        self.proj = Conv1D(WIDTH, 2 * WIDTH) if make else nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))[0]
        return x + self.proj(functional.gelu(self.fc(self.ln_2(x))))


@dataclass
class Output:
    logits: Tensor
    loss: Tensor | None = None


class NanoGPT(nn.Module):
    """Tied embeddings; the loss is computed inside where targets are given."""

    def __init__(self, depth: int = 4, *, tied: bool = True, dropout: float = 0.0, conv1d: bool = False) -> None:
        super().__init__()
        make = Conv1D if conv1d else None
        self.wte, self.wpe = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.drop = nn.Dropout(dropout)
        self.h = nn.ModuleList([Block(make) for _ in range(depth)])
        self.ln_f = nn.LayerNorm(WIDTH)
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        if tied:
            self.lm_head.weight = self.wte.weight

    def forward(self, tokens, targets=None):
        x = self.drop(self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1])))
        for block in self.h:
            x = block(x)
        logits = self.lm_head(self.ln_f(x))
        if targets is None:
            return Output(logits)
        return Output(logits, functional.cross_entropy(logits.flatten(0, 1), targets.flatten()))


class RMSNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))
        self.wide = torch.float32

    def forward(self, x):
        wide = x.to(self.wide)
        return self.weight * (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)).to(x.dtype)


def rotated(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[-2]).float()[:, None] / 100 ** (torch.arange(half).float() / half)
    cos, sin = torch.cat([angle.cos()] * 2, -1), torch.cat([angle.sin()] * 2, -1)
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class DecoderLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(), RMSNorm()
        self.q_proj, self.o_proj = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.k_proj, self.v_proj = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate_proj, self.up_proj = nn.Linear(WIDTH, 12, bias=False), nn.Linear(WIDTH, 12, bias=False)
        self.down_proj = nn.Linear(12, WIDTH, bias=False)

    def forward(self, hidden):
        x = self.input_layernorm(hidden)
        q, k, v = (
            layer(x).view(*x.shape[:2], HEADS, -1).transpose(1, 2) for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = functional.scaled_dot_product_attention(rotated(q), rotated(k), v, is_causal=True)
        hidden = hidden + self.o_proj(attended.transpose(1, 2).flatten(2))
        x = self.post_attention_layernorm(hidden)
        return (hidden + self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x)),)


class Llama(nn.Module):
    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList([DecoderLayer() for _ in range(depth)])
        self.norm = RMSNorm()
        self.lm_head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, input_ids):
        hidden, kept = self.embed_tokens(input_ids), []
        for layer in self.layers:
            kept.append(hidden)
            (hidden,) = layer(hidden)
        return self.lm_head(self.norm(hidden)), kept


class BertLayer(nn.Module):
    """Normalisation behind the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention(causal=False)
        self.intermediate, self.output = nn.Linear(WIDTH, 12), nn.Linear(12, WIDTH)
        self.norm_1, self.norm_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x, attention_mask):
        attended, weights = self.attention(x, attention_mask)
        x = self.norm_1(x + attended)
        return self.norm_2(x + self.output(functional.gelu(self.intermediate(x)))), weights


class Bert(nn.Module):
    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(VOCABULARY, WIDTH)
        self.layer = nn.ModuleList([BertLayer() for _ in range(depth)])
        self.pooler, self.classifier = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, input_ids, attention_mask):
        x, kept = self.embeddings(input_ids), []
        for layer in self.layer:
            x, weights = layer(x, attention_mask)
            kept.append(weights)
        return {"logits": self.classifier(torch.tanh(self.pooler(x[:, 0]))), "attentions": kept}


class EncoderBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.self_attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 12), nn.GELU(), nn.Linear(12, WIDTH))

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class ViT(nn.Module):
    """The head starts at zero."""

    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(2, WIDTH, 2, 2)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH) * 0.1)
        self.layers = nn.Sequential(*[EncoderBlock() for _ in range(depth)])
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images):
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        return self.head(self.norm(self.layers(x))[:, 0])


class DiTBlock(nn.Module):
    """The gates of its branches start at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH, elementwise_affine=False)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 12), nn.GELU(), nn.Linear(12, WIDTH))
        self.modulation = nn.Linear(WIDTH, 3 * WIDTH)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x, condition):
        shift, scale, gate = self.modulation(functional.silu(condition)).chunk(3, -1)
        return x + gate * self.mlp(self.norm(x) * (1 + scale) + shift)


class DiT(nn.Module):
    def __init__(self, depth: int = 4) -> None:
        super().__init__()
        self.stem, self.time = nn.Linear(6, WIDTH), nn.Linear(1, WIDTH)
        self.blocks = nn.ModuleList([DiTBlock() for _ in range(depth)])
        self.final = nn.Linear(WIDTH, 6)
        nn.init.zeros_(self.final.weight)

    def forward(self, x, time):
        condition = self.time(time[:, None])
        x = self.stem(x)
        for block in self.blocks:
            x = block(x, condition)
        return self.final(x)


class EncoderOnly(nn.Module):
    def __init__(self, depth: int = 4, *, norm_first: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 12, dropout, batch_first=True, norm_first=norm_first)
        self.embedding = nn.Linear(6, WIDTH)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x):
        return self.head(self.encoder(self.embedding(x)).mean(1))


class EncoderDecoder(nn.Module):
    """torch's whole transformer, sequences along the first axis."""

    def __init__(self) -> None:
        super().__init__()
        self.source, self.target = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(VOCABULARY, WIDTH)
        self.transformer = nn.Transformer(WIDTH, HEADS, 3, 4, 12, 0.0)
        self.head = nn.Linear(WIDTH, VOCABULARY)

    def forward(self, source, target):
        mask = nn.Transformer.generate_square_subsequent_mask(len(target))
        return self.head(self.transformer(self.source(source), self.target(target), tgt_mask=mask))
