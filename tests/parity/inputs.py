"""Tiny Llama folders for the parity corpus, the same bits with every numpy version.

Every value comes from an integer hash of (model, tensor, index) and lies on the grid
2**-20 with magnitude below 2, so a float32 difference of two models is exact and the
magnitudes of one delta are pairwise distinct: no selection threshold is ever a tie.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

Array = NDArray[np.float32]
GRID = 2.0**-20
HIDDEN, HEADS, KV_HEADS, INTER = 16, 4, 2, 24


@dataclass(frozen=True, slots=True)
class Spec:
    """One model folder: its parent values, its delta and its vocabulary."""

    base: str = "base"
    low: float = 0.0  # smallest |delta|; 0 means the folder is the base itself
    high: float = 0.0  # largest |delta|
    zeros: float = 0.0  # share of exact zeros in the delta
    layers: int = 4
    tied: bool = False
    tokenizer: str = "plain"
    pad_rows: int = 0  # embedding rows beyond the tokenizer's vocabulary
    template: str | None = None
    salt: str = ""  # another draw, where a threshold would fall on an entry


MODELS: Mapping[str, Spec] = {
    "base": Spec(),
    "a": Spec(low=0.010, high=0.080),
    "b": Spec(low=0.012, high=0.050),
    "c": Spec(low=0.008, high=0.110),
    "sparse_a": Spec(low=0.010, high=0.080, zeros=0.4),
    "sparse_b": Spec(low=0.012, high=0.050, zeros=0.5),
    "sparse_c": Spec(low=0.008, high=0.110, zeros=0.6),
    "tied_base": Spec(tied=True),
    "tied_a": Spec(low=0.010, high=0.080, tied=True),
    "tied_b": Spec(low=0.012, high=0.050, tied=True),
    "one_base": Spec(layers=1),
    "one_a": Spec(low=0.010, high=0.080, layers=1),
    "one_b": Spec(low=0.012, high=0.050, layers=1),
    "one_c": Spec(low=0.008, high=0.110, layers=1),
    "fuse_a": Spec(low=0.050, high=0.500, layers=1, salt="291"),
    "fuse_b": Spec(low=0.020, high=0.700, zeros=0.1, layers=1, salt="164"),
    "tok_base": Spec(tokenizer="tok_base", template="base"),
    "tok_a": Spec(low=0.010, high=0.080, tokenizer="tok_a", pad_rows=5, template="a"),
    "tok_b": Spec(low=0.012, high=0.050, tokenizer="tok_b", template="a"),
}

SPECIALS = ("<unk>", "<s>", "</s>")
TEMPLATES = {
    "base": "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}",
    "a": "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}",
}


def hashed(label: str, count: int) -> NDArray[np.uint64]:
    """Return `count` 64-bit hashes (splitmix64) of `label` and the index."""
    seed = np.uint64(zlib.crc32(label.encode()))
    step, one, two = (np.uint64(v) for v in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
    with np.errstate(over="ignore"):
        z = (seed << np.uint64(32)) + np.arange(1, count + 1, dtype=np.uint64) * step
        z = (z ^ (z >> np.uint64(30))) * one
        z = (z ^ (z >> np.uint64(27))) * two
    return z ^ (z >> np.uint64(31))


def base_values(label: str, shape: tuple[int, ...], centre: float) -> Array:
    """Return values uniform in centre ± 0.25 on the grid."""
    units = (hashed(label, int(np.prod(shape))) >> np.uint64(45)).astype(np.int64) - 2**18
    return (units * GRID + centre).astype(np.float32).reshape(shape)


def delta_values(label: str, shape: tuple[int, ...], spec: Spec) -> NDArray[np.float64]:
    """Return a delta on the grid whose magnitudes are pairwise distinct."""
    count = int(np.prod(shape))
    rank = np.argsort(np.argsort(hashed(label, count), kind="stable"), kind="stable")
    place = (rank + 1) / count
    scale = 0.7 + 0.3 * (zlib.crc32(label.encode()) % 8) / 8  # tensors differ in size
    size = spec.low + scale * (spec.high - spec.low) * place * (0.3 + 0.7 * place)
    sign = np.where(hashed(label + "/sign", count) & np.uint64(1), 1.0, -1.0)
    keep = (hashed(label + "/zero", count) % np.uint64(1000)) >= np.uint64(1000 * spec.zeros)
    return (np.round(size / GRID) * GRID * sign * keep).reshape(shape)


def shapes(spec: Spec) -> dict[str, tuple[int, ...]]:
    """Return tensor name -> shape of a model."""
    kv = KV_HEADS * (HIDDEN // HEADS)
    rows = len(vocabulary(spec.tokenizer)) + spec.pad_rows
    out: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (rows, HIDDEN)}
    for layer in range(spec.layers):
        at = f"model.layers.{layer}."
        out[at + "input_layernorm.weight"] = (HIDDEN,)
        out[at + "post_attention_layernorm.weight"] = (HIDDEN,)
        out[at + "self_attn.q_proj.weight"] = (HIDDEN, HIDDEN)
        out[at + "self_attn.k_proj.weight"] = (kv, HIDDEN)
        out[at + "self_attn.v_proj.weight"] = (kv, HIDDEN)
        out[at + "self_attn.o_proj.weight"] = (HIDDEN, HIDDEN)
        out[at + "mlp.gate_proj.weight"] = (INTER, HIDDEN)
        out[at + "mlp.up_proj.weight"] = (INTER, HIDDEN)
        out[at + "mlp.down_proj.weight"] = (HIDDEN, INTER)
    out["model.norm.weight"] = (HIDDEN,)
    if not spec.tied:
        out["lm_head.weight"] = (rows, HIDDEN)
    return out


def tensors(name: str) -> dict[str, Array]:
    """Return every tensor of the named model as float32."""
    spec, out = MODELS[name], {}
    for key, shape in shapes(spec).items():
        values = base_values(key, shape, 1.0 if "norm" in key else 0.0)
        if spec.high:
            values = (values + delta_values(f"{name}{spec.salt}/{key}", shape, spec)).astype(np.float32)
        out[key] = values
    return out


def words(kind: str) -> tuple[list[str], list[tuple[str, str]]]:
    """Return letters and merges of a tokenizer; the kinds overlap by about half."""
    letters = {
        "plain": [*"abcdefghijklmnop", "Ġ"],
        "tok_base": [*"abcdefghijkl", "Ġ"],
        "tok_a": [*"lkjfedcbamno", "Ġ"],
        "tok_b": [*"pahqbgcrdsel", "Ġ"],
    }
    merges = {
        "plain": "ab cd ef gh abcd efgh Ġa Ġb Ġab ij kl mn",
        "tok_base": "ab cd ef abcd Ġa Ġb gh ghi",
        "tok_a": "cd ab ba abcd Ġb Ġc fe mn no",
        "tok_b": "ab Ġa gh pq cd rs sa",
    }
    pairs = {"abcd": ("ab", "cd"), "efgh": ("ef", "gh"), "Ġab": ("Ġ", "ab"), "ghi": ("gh", "i")}
    split = [pairs.get(m, (m[0], m[1:])) for m in merges[kind].split()]
    return letters[kind], split


def vocabulary(kind: str) -> dict[str, int]:
    """Return token -> id of a tokenizer, added tokens included."""
    letters, merges = words(kind)
    tokens = [*SPECIALS, *letters, *("".join(pair) for pair in merges)]
    if kind == "tok_a":  # permuted ids, specials not in front
        tokens = [*tokens[8:], *tokens[:8]]
    if kind == "tok_b":
        tokens += ["<|im_start|>", "<|im_end|>"]
    return {token: at for at, token in enumerate(tokens)}


def tokenizer_json(kind: str) -> dict[str, object]:
    """Return the content of tokenizer.json (byte-level BPE)."""
    vocab, (_, merges) = vocabulary(kind), words(kind)
    added = [t for t in vocab if t in SPECIALS or t.startswith("<|")]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": vocab[t], "content": t, **flags, "special": True} for t in added],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {t: i for t, i in vocab.items() if not t.startswith("<|")},
            "merges": [list(pair) for pair in merges],
        },
    }


def config_json(spec: Spec) -> dict[str, object]:
    """Return the content of config.json."""
    vocab = vocabulary(spec.tokenizer)
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INTER,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HIDDEN // HEADS,
        "hidden_act": "silu",
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "vocab_size": len(vocab) + spec.pad_rows,
        "bos_token_id": vocab["<s>"],
        "eos_token_id": vocab["</s>"],
        "tie_word_embeddings": spec.tied,
        "torch_dtype": "float32",
    }


def tokenizer_config(spec: Spec) -> dict[str, object]:
    """Return the content of tokenizer_config.json."""
    out: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "model_max_length": 64,
        "clean_up_tokenization_spaces": False,
    }
    return out | ({"chat_template": TEMPLATES[spec.template]} if spec.template else {})


def write_model(name: str, folder: Path) -> None:
    """Write one model folder (weights, config, tokenizer), each below 60 kB."""
    spec = MODELS[name]
    folder.mkdir(parents=True)
    save_file(tensors(name), folder / "model.safetensors", metadata={"format": "pt"})
    texts = {
        "config.json": config_json(spec),
        "tokenizer.json": tokenizer_json(spec.tokenizer),
        "tokenizer_config.json": tokenizer_config(spec),
        "special_tokens_map.json": {
            "unk_token": "<unk>",
            "bos_token": "<s>",
            "eos_token": "</s>",
        },
    }
    for file, content in texts.items():
        text = json.dumps(content, indent=1, ensure_ascii=False, sort_keys=file == "config.json")
        (folder / file).write_text(text, encoding="utf-8")


def build(root: Path) -> Path:
    """Write every model of the corpus below `root` and return it."""
    for name in MODELS:
        write_model(name, root / name)
    return root
