"""Models of torchvision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.published import Published, entropy, images, library, numbered, sample_entropy, staged

CLASSES = 5


def named(name: str, **settings: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        library("torchvision")
        module: nn.Module = library("torchvision.models").get_model(name, weights=None, num_classes=CLASSES, **settings)
        return module

    return build


def narrow_head(name: str, channels: int) -> Callable[[], nn.Module]:
    """Its three layers on top hold most of a hundred million weights; nothing is dropped, for speed."""

    def build() -> nn.Module:
        module: Any = named(name)()
        module.avgpool = nn.AdaptiveAvgPool2d(1)
        module.classifier = nn.Sequential(
            nn.Linear(channels, 32), nn.ReLU(True), nn.Linear(32, 32), nn.ReLU(True), nn.Linear(32, CLASSES)
        )
        return module  # type: ignore[no-any-return]

    return build


def convnext() -> nn.Module:
    library("torchvision")
    models = library("torchvision.models.convnext")
    stages = [models.CNBlockConfig(8, 16, 2), models.CNBlockConfig(16, 24, 2), models.CNBlockConfig(24, None, 3)]
    module: nn.Module = models.ConvNeXt(stages, stochastic_depth_prob=0.2, num_classes=CLASSES)
    return module


def vision_transformer() -> nn.Module:
    library("torchvision")
    module: nn.Module = library("torchvision.models").VisionTransformer(32, 8, 4, 2, 16, 32, num_classes=CLASSES)
    return module


def swin(version: str) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        library("torchvision")
        models = library("torchvision.models.swin_transformer")
        parts = {"block": models.SwinTransformerBlockV2, "downsample_layer": models.PatchMergingV2}
        module: nn.Module = models.SwinTransformer(
            [2, 2], 8, [2, 2, 2], [2, 4, 4], [4, 4], num_classes=CLASSES, **(parts if version == "v2" else {})
        )
        return module

    return build


def maxvit() -> nn.Module:
    library("torchvision")
    models = library("torchvision.models")
    module: nn.Module = models.MaxVit((64, 64), 8, 2, [8, 16], [2, 2], 4, 0.2, num_classes=CLASSES)
    return module


def three_heads(outputs: Any, labels: Tensor) -> Tensor:
    aside = [functional.cross_entropy(out, labels) for out in (outputs.aux_logits1, outputs.aux_logits2)]
    return functional.cross_entropy(outputs.logits, labels) + 0.3 * sum(aside)


ENTROPY = (entropy, sample_entropy)
IMAGES = (images(), *ENTROPY)
QUIET = {"dropout": 0.0}
INCEPTIONS = tuple(f"inception{name}" for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"))

CASES = [
    Published("alexnet, narrow head", narrow_head("alexnet", 256), images(64), *ENTROPY,
              (*(f"features.{place}" for place in (0, 3, 6, 8, 10)), "classifier.0", "classifier.2"), "layers"),
    Published("vgg11, narrow head", narrow_head("vgg11", 512), *IMAGES,
              (*(f"features.{place}" for place in (0, 3, 6, 8, 11, 13, 16, 18)), "classifier.0", "classifier.2"), "layers"),
    Published("vgg11_bn, narrow head", narrow_head("vgg11_bn", 512), *IMAGES,
              (*(f"features.{place}" for place in (0, 4, 8, 11, 15, 18, 22, 25)), "classifier.0", "classifier.2"), "layers"),
    Published("resnet18", named("resnet18"), *IMAGES, staged("layer{}.{}", {1: 2, 2: 2, 3: 2, 4: 2})),
    Published("resnet50", named("resnet50"), *IMAGES, staged("layer{}.{}", {1: 3, 2: 4, 3: 6, 4: 3})),
    Published("mobilenet_v2, no dropout", named("mobilenet_v2", **QUIET), *IMAGES, numbered("features.{}", 17, 1)),
    Published("mobilenet_v3_small", named("mobilenet_v3_small"), *IMAGES, numbered("features.{}", 11, 1), draws=True),
    Published("convnext, 7 narrow blocks", convnext, *IMAGES, staged("features.{}.{}", {1: 2, 3: 2, 5: 3}), draws=True),
    Published("densenet121", named("densenet121"), *IMAGES, numbered("features.denseblock{}", 4, 1)),
    Published("efficientnet_b0, nothing dropped", named("efficientnet_b0", stochastic_depth_prob=0.0, **QUIET), *IMAGES,
              staged("features.{}.{}", {1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 4, 7: 1})),
    Published("regnet_x_400mf", named("regnet_x_400mf"), *IMAGES,
              staged("trunk_output.block{0}.block{0}-{1}", {1: 1, 2: 2, 3: 7, 4: 12})),
    Published("regnet_y_400mf", named("regnet_y_400mf"), *IMAGES,
              staged("trunk_output.block{0}.block{0}-{1}", {1: 1, 2: 3, 3: 6, 4: 6})),
    Published("squeezenet1_1, no dropout", named("squeezenet1_1", **QUIET), images(64), *ENTROPY,
              tuple(f"features.{place}" for place in (3, 4, 6, 7, 9, 10, 11, 12))),
    Published("shufflenet_v2_x0_5", named("shufflenet_v2_x0_5"), *IMAGES, staged("stage{}.{}", {2: 4, 3: 8, 4: 4})),
    Published("mnasnet0_5, no dropout", named("mnasnet0_5", **QUIET), *IMAGES,
              staged("layers.{}.{}", {8: 3, 9: 3, 10: 3, 11: 2, 12: 4, 13: 1})),
    Published("googlenet, one head, no dropout", named("googlenet", aux_logits=False, init_weights=True, **QUIET), images(64),
              *ENTROPY, INCEPTIONS),
    Published("googlenet, three heads", named("googlenet", init_weights=True), images(64), three_heads, sample_entropy, (),
              refused="no series of layers or blocks passes the whole gradient"),
    Published("vit, 4 narrow blocks", vision_transformer, *IMAGES, numbered("encoder.layers.encoder_layer_{}", 4),
              zero_readout="heads.head.weight"),
    Published("swin, 4 narrow blocks", swin("v1"), *IMAGES, staged("features.{}.{}", {1: 2, 3: 2, 5: 2}), draws=True),
    Published("swin_v2, 4 narrow blocks", swin("v2"), *IMAGES, staged("features.{}.{}", {1: 2, 3: 2, 5: 2}), draws=True),
    Published("maxvit, 4 narrow blocks", maxvit, images(64), *ENTROPY,
              tuple(f"blocks.{block}.layers.{layer}.layers.{kind}_attention"
                    for block in range(2) for layer in range(2) for kind in ("window", "grid")), draws=True),
]  # fmt: skip
