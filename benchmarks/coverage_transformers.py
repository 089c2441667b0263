"""Models of the package transformers, made small by their configurations: text, images, sound."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Inputs = Callable[[int, int], tuple[Any, ...] | dict[str, Any]]

WORDS, LENGTH, IMAGE = 100, 16, 64
TEXT: dict[str, Any] = {
    "vocab_size": WORDS,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
}
PICTURE: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "image_size": IMAGE,
    "patch_size": 16,
}


def _model(name: str, attention: str | None = None, **settings: Any) -> Callable[[], nn.Module]:
    """The model of a class of transformers, with the settings of its configuration."""

    def make() -> nn.Module:
        cls = getattr(importlib.import_module("transformers"), name)
        config = cls.config_class(**settings)
        if attention is not None:
            config._attn_implementation = attention
        model: nn.Module = cls(config)
        return model

    return make


def words(samples: int, seed: int) -> dict[str, Tensor]:
    """Token numbers and a mask: sentences of several lengths."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, WORDS, (samples, LENGTH), generator=generator)
    lengths = torch.randint(LENGTH // 2, LENGTH + 1, (samples, 1), generator=generator)
    return {"input_ids": tokens, "attention_mask": (torch.arange(LENGTH) < lengths).long()}


def typed_words(samples: int, seed: int) -> dict[str, Tensor]:
    """Token numbers, mask, and which of two sentences each token belongs to."""
    kinds = (torch.arange(LENGTH) >= LENGTH // 2).long().expand(samples, -1).clone()
    return {**words(samples, seed), "token_type_ids": kinds}


def bare_words(samples: int, seed: int) -> dict[str, Tensor]:
    """Token numbers alone."""
    return {"input_ids": words(samples, seed)["input_ids"]}


def pictures(samples: int, seed: int) -> dict[str, Tensor]:
    """Normalized images."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(samples, 3, 4, 4, generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(IMAGE, IMAGE), mode="bilinear", align_corners=False)
    return {"pixel_values": smooth + 0.3 * torch.randn(samples, 3, IMAGE, IMAGE, generator=generator)}


def sounds(samples: int, seed: int) -> dict[str, Tensor]:
    """Waveforms."""
    return {"input_values": torch.randn(samples, 2000, generator=torch.Generator().manual_seed(seed))}


def spectra(samples: int, seed: int) -> dict[str, Tensor]:
    """Log-mel spectra."""
    return {"input_features": torch.randn(samples, 40, 100, generator=torch.Generator().manual_seed(seed))}


GPT: dict[str, Any] = {
    "vocab_size": WORDS,
    "n_embd": 64,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "use_cache": False,
}
LLAMA: dict[str, Any] = {**TEXT, "num_key_value_heads": 2, "use_cache": False}
WHISPER: dict[str, Any] = {
    "num_mel_bins": 40,
    "d_model": 64,
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 128,
    "max_source_positions": 50,
    "vocab_size": WORDS,
    "pad_token_id": 0,
    "decoder_layers": 1,
    "decoder_attention_heads": 4,
}
WAV2VEC: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "conv_dim": (32, 32, 32),
    "conv_stride": (5, 2, 2),
    "conv_kernel": (10, 3, 3),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
T5: dict[str, Any] = {
    "vocab_size": WORDS,
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 128,
    "num_layers": 2,
    "num_heads": 4,
    "use_cache": False,
}


def _whisper_encoder() -> nn.Module:
    whole: Any = _model("WhisperModel", **WHISPER)()
    encoder: nn.Module = whole.get_encoder()
    return encoder


TRANSFORMERS: Mapping[str, tuple[Callable[[], nn.Module], Inputs]] = {
    "bert": (_model("BertModel", **TEXT), typed_words),
    "bert eager": (_model("BertModel", **TEXT, attention="eager"), typed_words),
    "bert classifier": (_model("BertForSequenceClassification", **TEXT), words),
    "distilbert": (
        _model("DistilBertModel", vocab_size=WORDS, dim=64, n_layers=2, n_heads=4, hidden_dim=128),
        words,
    ),
    "electra": (_model("ElectraModel", **TEXT, embedding_size=32), words),
    "albert": (_model("AlbertModel", **TEXT, embedding_size=32), words),
    "mobilebert": (
        _model("MobileBertModel", **{**TEXT, "hidden_size": 64}, embedding_size=32, intra_bottleneck_size=32),
        words,
    ),
    "squeezebert": (_model("SqueezeBertModel", **TEXT, embedding_size=64), words),
    "deberta v2": (_model("DebertaV2Model", **TEXT, relative_attention=True, pos_att_type=["p2c", "c2p"]), words),
    "gpt2": (_model("GPT2LMHeadModel", **GPT), bare_words),
    "gpt2 eager": (_model("GPT2LMHeadModel", **GPT, attention="eager"), words),
    "llama": (_model("LlamaForCausalLM", **LLAMA), bare_words),
    "qwen2": (_model("Qwen2Model", **LLAMA), words),
    "t5 encoder": (_model("T5EncoderModel", **T5), words),
    "vit": (_model("ViTForImageClassification", **PICTURE), pictures),
    "deit": (_model("DeiTModel", **PICTURE), pictures),
    "dinov2": (_model("Dinov2Model", **{**PICTURE, "patch_size": 16}), pictures),
    "segformer": (
        _model("SegformerForSemanticSegmentation", hidden_sizes=[16, 32, 40, 64], depths=[1, 1, 1, 1], num_labels=5),
        pictures,
    ),
    "mobilevit": (_model("MobileViTForImageClassification", image_size=IMAGE), pictures),
    "convnext": (
        _model("ConvNextForImageClassification", hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1]),
        pictures,
    ),
    "clip vision": (_model("CLIPVisionModel", **PICTURE), pictures),
    "clip text": (_model("CLIPTextModel", **{**TEXT, "max_position_embeddings": 32}, eos_token_id=2), words),
    "wav2vec2": (_model("Wav2Vec2Model", **WAV2VEC), sounds),
    "whisper encoder": (_whisper_encoder, spectra),
}
"""By name: the model, and its inputs."""
