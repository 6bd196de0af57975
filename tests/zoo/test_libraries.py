"""Published architectures at small sizes with random weights: nothing is downloaded. Run by `make zoo`."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gradstab import probe
from tests.zoo.twin import hooked_profile

pytestmark = [pytest.mark.zoo, pytest.mark.filterwarnings("ignore")]  # the libraries warn of each other

B = 4

VISION = [
    ("resnet18", {}, [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]),
    ("convnext_tiny", {}, None),
    ("mobilenet_v3_small", {"dropout": 0.0}, None),
    ("densenet121", {}, None),
    ("vit_b_16", {"image_size": 32}, [f"encoder.layers.encoder_layer_{index}" for index in range(12)]),
    ("vgg11", {"dropout": 0.0}, None),
]


@pytest.mark.parametrize(("name", "settings", "places"), VISION, ids=[name for name, _, _ in VISION])
def test_torchvision(name, settings, places):
    models = pytest.importorskip("torchvision.models", reason="torchvision is in the extra zoo")
    torch.manual_seed(0)
    module = models.get_model(name, weights=None, num_classes=5, **settings)
    images, labels = torch.randn(B, 3, 32, 32), torch.randint(0, 5, (B,))
    found = probe(module, images, labels, functional.cross_entropy)
    assert found.phase is not None
    if places is not None:
        assert found.layers == tuple(places)
    require_equal(module, (images,), found, lambda out, b: functional.cross_entropy(out[b], labels[b]))


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto", "resnet10t", "mixer_s32_224"])
def test_timm(name):
    timm = pytest.importorskip("timm", reason="timm is in the extra zoo")
    torch.manual_seed(0)
    module = timm.create_model(name, pretrained=False, num_classes=5)
    images, labels = torch.randn(B, 3, 224, 224), torch.randint(0, 5, (B,))
    found = probe(module, images, labels, functional.cross_entropy)
    assert found.phase is not None


LANGUAGE = {
    "GPT2": ({"n_embd": 16, "n_layer": 4, "n_head": 2, "vocab_size": 31}, "transformer.h.#"),
    "Llama": (
        {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2,
         "num_key_value_heads": 2, "vocab_size": 31},
        "model.layers.#",
    ),
    "Bert": (
        {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "vocab_size": 31},
        "bert.encoder.layer.#",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LANGUAGE)
def test_transformers(name):
    transformers = pytest.importorskip("transformers", reason="transformers is in the extra zoo")
    settings, expected = LANGUAGE[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**settings)
    head = "ForMaskedLM" if name == "Bert" else "LMHeadModel" if name == "GPT2" else "ForCausalLM"
    module = getattr(transformers, f"{name}{head}")(config)
    tokens = torch.randint(0, 31, (B, 7))
    found = probe(module, {"input_ids": tokens}, tokens, next_token_loss)
    assert found.series[0].name == expected
    inside = probe(module, {"input_ids": tokens, "labels": tokens}, tokens, lambda outputs, _: outputs.loss)
    assert inside.series[0].name == expected


def next_token_loss(outputs: Any, tokens: Tensor) -> Tensor:
    return functional.cross_entropy(outputs.logits.transpose(1, 2), tokens)


def require_equal(module: nn.Module, given: Any, found: Any, sample_loss: Any) -> None:
    """Against the twin, where nothing is drawn."""
    if any("draws" in note for note in found.notes):
        return
    twin = copy.deepcopy(module).double()
    wide = tuple(part.double() if part.is_floating_point() else part for part in given)
    zero = found.notes and "readout" in found.notes[0]
    if zero:  # the twin would need the same new readout
        return
    inputs = found.series[0].axis == "block inputs"
    expected = hooked_profile(twin, wide, sample_loss, B, found.layers, inputs=inputs)
    np.testing.assert_allclose(found.log10_delta_norm_L, expected, atol=1e-6)
