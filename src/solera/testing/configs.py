"""Settings of the tiny models: one entry per architecture, as small as its code allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large a tiny model is."""

    layers: int = 4
    vocab: int = 64


Settings = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TinyModel:
    """How one tiny model is made: model type, class to build, settings by size, where the text settings are nested."""

    model_type: str
    head: str
    make: Callable[[Sizes], Settings]
    own: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""

    def settings(self, sizes: Sizes, tied: bool | None, changes: Mapping[str, Any]) -> Settings:
        """Keyword arguments for the config class."""
        settings = {**self.make(sizes), **self.own}
        inner = settings[self.text] = dict(settings[self.text]) if self.text else {}
        (inner if self.text else settings).update(changes)
        if not self.text:
            del settings[""]
        if tied is not None:
            settings["tie_word_embeddings"] = tied
        return settings


def decoder(sizes: Sizes) -> Settings:
    """A Llama-like decoder: 4 heads on 2 key-value heads, width 16."""
    return {
        "vocab_size": sizes.vocab,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "pad_token_id": None,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }


def encoder(sizes: Sizes) -> Settings:
    """A BERT-like encoder."""
    return {
        "vocab_size": sizes.vocab,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
    }


def vision(sizes: Sizes) -> Settings:
    """A ViT- or CLIP-like vision tower: 8 x 8 images in four patches."""
    return {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": 4,
        "image_size": 8,
        "patch_size": 4,
    }


def llava(sizes: Sizes) -> Settings:
    """A Llama that sees through a CLIP tower."""
    return {
        "vision_config": {"model_type": "clip_vision_model", **vision(sizes)},
        "text_config": {"model_type": "llama", **decoder(sizes)},
        "image_token_id": 5,
        "vision_feature_layer": -1,
    }


def clip(sizes: Sizes) -> Settings:
    """CLIP: a text tower and a vision tower."""
    text = {**encoder(sizes), "bos_token_id": 1, "eos_token_id": 2}
    return {"text_config": text, "vision_config": vision(sizes), "projection_dim": 8}


def gemma3(sizes: Sizes) -> Settings:
    """A Gemma 3 that sees through a SigLIP tower."""
    return {
        "vision_config": {"model_type": "siglip_vision_model", **vision(sizes), "vision_use_head": False},
        "text_config": {"model_type": "gemma3_text", **decoder(sizes), "head_dim": 4},
        "mm_tokens_per_image": 4,
        "image_token_id": 5,
        "boi_token_index": 6,
        "eoi_token_index": 7,
    }


def qwen2_vl(sizes: Sizes) -> Settings:
    """A Qwen2-VL of two equal widths."""
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 0]}
    return {
        "vision_config": {"depth": sizes.layers, "embed_dim": 16, "hidden_size": 16, "num_heads": 2, "patch_size": 4},
        "text_config": {**decoder(sizes), "rope_parameters": rope},
        "image_token_id": 5,
        "video_token_id": 6,
        "vision_start_token_id": 7,
        "vision_end_token_id": 8,
    }


def t5(sizes: Sizes) -> Settings:
    """An encoder and a decoder of T5."""
    return {
        "vocab_size": sizes.vocab,
        "d_model": 16,
        "d_kv": 4,
        "d_ff": 24,
        "num_layers": sizes.layers,
        "num_decoder_layers": sizes.layers,
        "num_heads": 4,
        "decoder_start_token_id": 0,
    }


def whisper(sizes: Sizes) -> Settings:
    """An encoder of sound and a decoder of text."""
    return {
        "vocab_size": sizes.vocab,
        "num_mel_bins": 4,
        "d_model": 16,
        "encoder_layers": sizes.layers,
        "decoder_layers": sizes.layers,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "encoder_ffn_dim": 24,
        "decoder_ffn_dim": 24,
        "max_source_positions": 8,
        "max_target_positions": 16,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 3,
        "suppress_tokens": None,
        "begin_suppress_tokens": None,
    }


def gpt2(sizes: Sizes) -> Settings:
    """GPT-2, whose weights are stored input-first."""
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    return {"vocab_size": sizes.vocab, "n_embd": 16, "n_head": 4, "n_layer": sizes.layers, "n_positions": 64, **ends}


def deepseek(sizes: Sizes) -> Settings:
    """Multi-head latent attention, routed and shared experts, first layer dense."""
    latent = {"q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 4}
    experts = {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
    groups = {"n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "num_key_value_heads": 4}
    return {**decoder(sizes), **latent, **experts, **groups}


EXPERTS = {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 8}
QWEN2_MOE = {**EXPERTS, "shared_expert_intermediate_size": 12, "mlp_only_layers": [1]}
QWEN3_MOE = {**EXPERTS, "head_dim": 4, "mlp_only_layers": [1]}

CONFIGS: Mapping[str, TinyModel] = {
    "llama": TinyModel("llama", "LlamaForCausalLM", decoder),
    "mistral": TinyModel("mistral", "MistralForCausalLM", decoder),
    "mixtral": TinyModel("mixtral", "MixtralForCausalLM", decoder, {"num_local_experts": 3}),
    "qwen2": TinyModel("qwen2", "Qwen2ForCausalLM", decoder),
    "qwen3": TinyModel("qwen3", "Qwen3ForCausalLM", decoder, {"head_dim": 4}),
    "qwen2_moe": TinyModel("qwen2_moe", "Qwen2MoeForCausalLM", decoder, QWEN2_MOE),
    "qwen3_moe": TinyModel("qwen3_moe", "Qwen3MoeForCausalLM", decoder, QWEN3_MOE),
    "gemma": TinyModel("gemma", "GemmaForCausalLM", decoder, {"head_dim": 4}),
    "gemma2": TinyModel("gemma2", "Gemma2ForCausalLM", decoder, {"head_dim": 4}),
    "gemma3_text": TinyModel("gemma3_text", "Gemma3ForCausalLM", decoder, {"head_dim": 4}),
    "gemma3": TinyModel("gemma3", "Gemma3ForConditionalGeneration", gemma3, text="text_config"),
    "phi3": TinyModel("phi3", "Phi3ForCausalLM", decoder),
    "gpt2": TinyModel("gpt2", "GPT2LMHeadModel", gpt2),
    "gpt_neox": TinyModel("gpt_neox", "GPTNeoXForCausalLM", encoder),
    "olmo2": TinyModel("olmo2", "Olmo2ForCausalLM", decoder),
    "deepseek_v2": TinyModel("deepseek_v2", "DeepseekV2ForCausalLM", deepseek),
    "deepseek_v3": TinyModel("deepseek_v3", "DeepseekV3ForCausalLM", deepseek),
    "bert": TinyModel("bert", "BertForMaskedLM", encoder),
    "bert_model": TinyModel("bert", "BertModel", encoder),
    "bert_classifier": TinyModel("bert", "BertForSequenceClassification", encoder),
    "roberta": TinyModel("roberta", "RobertaForMaskedLM", encoder),
    "t5": TinyModel("t5", "T5ForConditionalGeneration", t5),
    "t5_gated": TinyModel("t5", "T5ForConditionalGeneration", t5, {"feed_forward_proj": "gated-gelu"}),
    "vit": TinyModel("vit", "ViTForImageClassification", vision),
    "clip": TinyModel("clip", "CLIPModel", clip, text="text_config"),
    "whisper": TinyModel("whisper", "WhisperForConditionalGeneration", whisper),
    "llava": TinyModel("llava", "LlavaForConditionalGeneration", llava, text="text_config"),
    "qwen2_vl": TinyModel("qwen2_vl", "Qwen2VLForConditionalGeneration", qwen2_vl, text="text_config"),
}
