"""Models of transformers, built from small configurations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.zoo.published import B, Published, entropy, images, library, logits, numbered, sample_entropy, staged

VOCABULARY, LABELS = 31, 2

SMALL = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 4, "num_attention_heads": 2, "vocab_size": VOCABULARY,
}  # fmt: skip
GROUPED = SMALL | {"num_key_value_heads": 2}
GPT = {"n_embd": 16, "n_layer": 4, "n_head": 2, "vocab_size": VOCABULARY}
SIGHT = {
    "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
}  # fmt: skip
TWO_STACKS = {
    "d_model": 16, "encoder_layers": 4, "decoder_layers": 4, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "vocab_size": VOCABULARY,
}  # fmt: skip


def built(kind: str, head: str, settings: dict[str, Any]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        config = getattr(library("transformers"), f"{kind}Config")(**settings)
        module: nn.Module = getattr(library("transformers"), f"{kind}{head}")(config)
        return module.train()

    return build


def tokens() -> tuple[dict[str, Tensor], Tensor]:
    given = torch.randint(2, VOCABULARY, (B, 9))
    return {"input_ids": given}, given


def labelled_tokens() -> tuple[dict[str, Tensor], Tensor]:
    return tokens()[0], torch.randint(0, LABELS, (B,))


def translations() -> tuple[dict[str, Tensor], Tensor]:
    given, asked = torch.randint(2, VOCABULARY, (B, 9)), torch.randint(2, VOCABULARY, (B, 6))
    return {"input_ids": given, "decoder_input_ids": asked}, asked


def speech() -> tuple[Tensor, Tensor]:
    return torch.randn(B, 800), torch.randint(0, VOCABULARY, (B,))


def heard() -> tuple[dict[str, Tensor], Tensor]:
    asked = torch.randint(2, VOCABULARY, (B, 6))
    return {"input_features": torch.randn(B, 8, 20), "decoder_input_ids": asked}, asked


def captions() -> tuple[dict[str, Tensor], None]:
    return {"input_ids": torch.randint(2, VOCABULARY, (B, 9)), "pixel_values": torch.randn(B, 3, 32, 32)}, None


def token_loss(outputs: Any, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits(outputs).transpose(1, 2), targets)


def sample_token_loss(outputs: Any, targets: Tensor, sample: int) -> Tensor:
    return functional.cross_entropy(logits(outputs)[sample], targets[sample])


def over_time(outputs: Any, targets: Tensor) -> Tensor:
    return functional.cross_entropy(logits(outputs).mean(1), targets)


def sample_over_time(outputs: Any, targets: Tensor, sample: int) -> Tensor:
    return functional.cross_entropy(logits(outputs)[sample].mean(0), targets[sample])


def contrastive(outputs: Any, _: None) -> Tensor:
    return functional.cross_entropy(outputs.logits_per_text, torch.arange(B))


def sample_contrastive(outputs: Any, _: None, sample: int) -> Tensor:
    return functional.cross_entropy(outputs.logits_per_text[sample], torch.tensor(sample))


def clip() -> nn.Module:
    transformers = library("transformers")
    marks = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    text = SMALL | marks | {"max_position_embeddings": 16}
    config = transformers.CLIPConfig(
        text_config=text, vision_config=SIGHT | {"intermediate_size": 24}, projection_dim=8
    )
    module: nn.Module = transformers.CLIPModel(config)
    return module.train()


def experts_one_by_one(twin: Any) -> None:
    """The grouped product of experts has no float64."""
    twin.config._experts_implementation = "eager"


TOKENS = (tokens, token_loss, sample_token_loss)


def decoder(
    kind: str, settings: dict[str, Any], places: str, head: str = "ForCausalLM", *, draws: bool = False, **rest: Any
) -> Published:
    return Published(kind, built(kind, head, settings), *TOKENS, numbered(places, 4), draws=draws, **rest)


def like_llama(kinds: Iterable[str], settings: dict[str, Any]) -> list[Published]:
    return [decoder(kind, settings, "model.layers.{}") for kind in kinds]


def encoder(kind: str, stem: str, settings: dict[str, Any] = SMALL) -> Published:
    return decoder(kind, settings, f"{stem}.encoder.layer.{{}}", "ForMaskedLM", draws=True)


def sight(kind: str, settings: dict[str, Any], places: tuple[str, ...], *, draws: bool = False) -> Published:
    build = built(kind, "ForImageClassification", settings)
    return Published(kind, build, images(32, LABELS), entropy, sample_entropy, places, draws=draws)


CASES = [
    decoder("GPT2", GPT, "transformer.h.{}", "LMHeadModel", draws=True),
    decoder("GPTNeoX", SMALL, "gpt_neox.layers.{}"),
    decoder("GPTJ", GPT | {"rotary_dim": 4}, "transformer.h.{}"),
    *like_llama(("Llama", "Mistral", "Qwen2", "Phi", "StableLm", "Olmo", "Starcoder2", "Granite", "Cohere"), GROUPED),
    *like_llama(("Gemma", "Gemma2", "Qwen3"), GROUPED | {"head_dim": 8}),
    decoder("Mixtral", GROUPED | {"num_local_experts": 4}, "model.layers.{}", change=experts_one_by_one, tolerance=1e-5),
    decoder("Falcon", SMALL, "transformer.h.{}"),
    decoder("OPT", {"hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 4, "num_attention_heads": 2,
                    "vocab_size": VOCABULARY, "word_embed_proj_dim": 16}, "model.decoder.layers.{}", draws=True),
    decoder("Bloom", {"hidden_size": 16, "n_layer": 4, "n_head": 2, "vocab_size": VOCABULARY}, "transformer.h.{}"),
    decoder("Mamba", {"hidden_size": 16, "state_size": 4, "num_hidden_layers": 4, "vocab_size": VOCABULARY},
            "backbone.layers.{}"),
    decoder("Mamba2", {"hidden_size": 16, "state_size": 4, "num_hidden_layers": 4, "vocab_size": VOCABULARY,
                       "num_heads": 4, "head_dim": 8, "n_groups": 1, "chunk_size": 4}, "backbone.layers.{}"),
    decoder("Rwkv", {"hidden_size": 16, "attention_hidden_size": 16, "num_hidden_layers": 4, "vocab_size": VOCABULARY},
            "rwkv.blocks.{}"),
    encoder("Bert", "bert"),
    encoder("Roberta", "roberta", SMALL | {"max_position_embeddings": 32}),
    encoder("Electra", "electra", SMALL | {"embedding_size": 16}),
    encoder("DebertaV2", "deberta"),
    decoder("DistilBert", {"dim": 16, "hidden_dim": 24, "n_layers": 4, "n_heads": 2, "vocab_size": VOCABULARY},
            "distilbert.transformer.layer.{}", "ForMaskedLM", draws=True),
    decoder("ModernBert", SMALL | {"global_attn_every_n_layers": 2, "pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 1,
                                   "cls_token_id": 0, "sep_token_id": 1}, "model.layers.{}", "ForMaskedLM"),
    decoder("XLNet", {"d_model": 16, "n_layer": 4, "n_head": 2, "d_inner": 24, "vocab_size": VOCABULARY},
            "transformer.layer.{}", "LMHeadModel", draws=True),
    Published("Albert", built("Albert", "ForMaskedLM", SMALL | {"embedding_size": 16}), *TOKENS,
              ("albert.encoder.albert_layer_groups.0",) * 4, "calls"),
    Published("Bert, two labels", built("Bert", "ForSequenceClassification", SMALL), labelled_tokens, entropy,
              sample_entropy, numbered("bert.encoder.layer.{}", 4), draws=True),
    Published("T5", built("T5", "ForConditionalGeneration", {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 4,
                                                             "num_heads": 2, "vocab_size": VOCABULARY}),
              translations, token_loss, sample_token_loss, numbered("decoder.block.{}", 4), draws=True),
    Published("Bart", built("Bart", "ForConditionalGeneration", TWO_STACKS | {"max_position_embeddings": 32}), translations,
              token_loss, sample_token_loss, numbered("model.decoder.layers.{}", 4), draws=True),
    Published("Whisper", built("Whisper", "ForConditionalGeneration", TWO_STACKS | {
                  "num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 16, "pad_token_id": 0,
                  "bos_token_id": 1, "eos_token_id": 0, "decoder_start_token_id": 1}),
              heard, token_loss, sample_token_loss, numbered("model.decoder.layers.{}", 4)),
    Published("Wav2Vec2", built("Wav2Vec2", "ForCTC", SMALL | {
                  "conv_dim": (8, 8, 8), "conv_stride": (5, 2, 2), "conv_kernel": (10, 3, 3), "num_conv_pos_embeddings": 4,
                  "num_conv_pos_embedding_groups": 2, "feat_extract_norm": "layer"}),
              speech, over_time, sample_over_time, numbered("wav2vec2.encoder.layers.{}", 4), draws=True),
    sight("ViT", SIGHT | {"intermediate_size": 24}, numbered("vit.layers.{}", 4)),
    sight("Dinov2", SIGHT | {"mlp_ratio": 2}, numbered("dinov2.encoder.layer.{}", 4)),
    sight("Swin", {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4},
          staged("swin.encoder.layers.{}.blocks.{}", {0: 2, 1: 2}), draws=True),
    sight("ConvNextV2", {"hidden_sizes": [8, 8, 8, 8], "depths": [2, 2, 2, 2]},
          staged("convnextv2.encoder.stages.{}.layers.{}", {0: 2, 1: 2, 2: 2, 3: 2})),
    sight("ResNet", {"embedding_size": 8, "hidden_sizes": [16, 16, 16], "depths": [2, 2, 2]},
          staged("resnet.encoder.stages.{}.layers.{}", {0: 2, 1: 2, 2: 2})),
    sight("Segformer", {"hidden_sizes": [8, 8, 16, 16], "depths": [2, 2, 2, 2], "num_attention_heads": [1, 1, 2, 2]},
          staged("segformer.stages.{}.blocks.{}", {0: 2, 1: 2, 2: 2, 3: 2}), draws=True),
    Published("CLIP", clip, captions, contrastive, sample_contrastive, numbered("text_model.encoder.layers.{}", 4)),
]  # fmt: skip
