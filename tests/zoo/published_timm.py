"""Models of timm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from tests.zoo.published import Published, entropy, images, library, numbered, sample_entropy, staged

CLASSES = 5


def named(name: str, **settings: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        module: nn.Module = library("timm").create_model(name, pretrained=False, num_classes=CLASSES, **settings)
        return module.train()

    return build


def case(
    name: str, places: tuple[str, ...], *, zero_readout: str = "", draws: bool = False, **settings: Any
) -> Published:
    shown = ", ".join([name, *(f"{key}={value}" for key, value in settings.items() if key != "img_size")])
    return Published(
        shown,
        named(name, **settings),
        images(64),
        entropy,
        sample_entropy,
        places,
        zero_readout=zero_readout,
        draws=draws,
    )


HEAD = "head.weight"
SMALL: dict[str, Any] = {"img_size": 64, "depth": 4, "embed_dim": 48, "num_heads": 2}

CASES = [
    case("resnet10t", ("conv1", *numbered("layer{}", 4, 1))),
    case("resnetv2_50", staged("stages.{}.blocks.{}", {0: 3, 1: 4, 2: 6, 3: 3})),
    case("efficientnet_b0", staged("blocks.{}.{}", {1: 2, 2: 2, 3: 3, 4: 3, 5: 4, 6: 1})),
    case("nfnet_l0", staged("stages.{}.{}", {0: 1, 1: 2, 2: 6, 3: 3})),
    case("convnext_atto", staged("stages.{}.blocks.{}", {0: 2, 1: 2, 2: 6, 3: 2})),
    case("mobilenetv4_conv_small", staged("blocks.{}.{}", {2: 6, 3: 6})),
    case("repvgg_a0", ("stem", *staged("stages.{}.{}", {0: 2, 1: 4, 2: 14, 3: 1}))),
    case("poolformer_s12", staged("stages.{}.blocks.{}", {0: 2, 1: 2, 2: 6, 3: 2})),
    case("mobilevit_xxs", ("stages.0.0", "stages.1.0", "stages.1.1", "stages.1.2", "stages.2.0", "stages.3.0", "stages.4.0")),
    case("mixer_s32_224", numbered("blocks.{}", 8), zero_readout=HEAD, img_size=64),
    case("gmlp_ti16_224", numbered("blocks.{}", 30), zero_readout=HEAD, img_size=64),
    case("vit_tiny_patch16_224", numbered("blocks.{}", 12), img_size=64),
    case("deit_tiny_distilled_patch16_224", numbered("blocks.{}", 12), img_size=64),
    case("deit3_small_patch16_224", numbered("blocks.{}", 4), img_size=64, depth=4),
    case("cait_xxs24_224", numbered("blocks.{}", 24), img_size=64),
    case("beit_base_patch16_224", numbered("blocks.{}", 4), **SMALL),
    case("xcit_nano_12_p16_224", numbered("blocks.{}", 12), img_size=64),
    case("convit_tiny", numbered("blocks.{}", 12), img_size=64),
    case("swin_tiny_patch4_window7_224", staged("layers.{}.blocks.{}", {0: 2, 1: 2, 2: 6, 3: 2}), draws=True, img_size=64,
         window_size=4, embed_dim=24, num_heads=(1, 2, 4, 8)),
]  # fmt: skip
