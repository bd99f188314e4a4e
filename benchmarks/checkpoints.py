"""Write synthetic checkpoints: a base and K experts, streamed, seeded, in numpy alone.

python benchmarks/checkpoints.py OUT --size 0.1 --models 3

Writes OUT/base and OUT/e0 .. OUT/e{K-1}: bf16 safetensors in Llama's shapes (or a mixture's many small ones), with
config and a small tokenizer. An expert is the base plus a low-rank update, sparse larger noise and a faint dense
drift. No model is in memory: workers fill pre-sized files block by block. Noise is cut from one drawn pool at random
places, so that writing runs at the speed of the memory; figures of speed do not see the difference.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

BLOCK = 1 << 20
"""Elements drawn at once, at most (or one row)."""
POOL = 1 << 23
SCALE, RANK, SPARSE = 1e-3, 8, 0.05
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """A model's shape; `experts` > 0 puts that many small networks in place of each layer's MLP."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    inter: int
    vocab: int = 32000
    tied: bool = False
    experts: int = 0


SIZES = {
    "tiny": Size(64, 2, 4, 4, 128, 320, tied=True),
    "0.1": Size(768, 12, 12, 12, 2048, tied=True),
    "0.5": Size(1536, 18, 16, 4, 4096, tied=True),
    "1.1": Size(2048, 22, 32, 4, 5632),
    "3": Size(3072, 28, 24, 8, 8192),
    "7": Size(4096, 32, 32, 32, 11008),
    "70": Size(8192, 80, 64, 8, 28672, 128256),
    "700": Size(7168, 61, 56, 8, 2048, 129280, experts=256),
    "moe": Size(512, 25, 8, 8, 48, tied=True, experts=250),
    "moe-90k": Size(2048, 60, 16, 16, 64, experts=498),
}


def tensors(size: Size) -> Iterator[tuple[str, Shape]]:
    """Names and shapes, in file order."""
    head = size.hidden // size.heads
    yield "model.embed_tokens.weight", (size.vocab, size.hidden)
    for i in range(size.layers):
        at = f"model.layers.{i}."
        yield at + "input_layernorm.weight", (size.hidden,)
        yield at + "self_attn.q_proj.weight", (size.heads * head, size.hidden)
        yield at + "self_attn.k_proj.weight", (size.kv_heads * head, size.hidden)
        yield at + "self_attn.v_proj.weight", (size.kv_heads * head, size.hidden)
        yield at + "self_attn.o_proj.weight", (size.hidden, size.heads * head)
        yield at + "post_attention_layernorm.weight", (size.hidden,)
        yield from _mlp(at + "mlp.", size)
    yield "model.norm.weight", (size.hidden,)
    if not size.tied:
        yield "lm_head.weight", (size.vocab, size.hidden)


def _mlp(at: str, size: Size) -> Iterator[tuple[str, Shape]]:
    if size.experts:
        yield at + "gate.weight", (size.experts, size.hidden)
    for prefix in [f"{at}experts.{e}." for e in range(size.experts)] or [at]:
        yield prefix + "gate_proj.weight", (size.inter, size.hidden)
        yield prefix + "up_proj.weight", (size.inter, size.hidden)
        yield prefix + "down_proj.weight", (size.hidden, size.inter)


def parameters(size: Size) -> int:
    """Elements of one checkpoint."""
    return sum(math.prod(shape) for _, shape in tensors(size))


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a tensor's bytes go: file name and offset in it."""

    file: str
    offset: int


@dataclass(frozen=True)
class Layout:
    """Headers by file, sizes by file, and where each tensor goes."""

    headers: dict[str, bytes]
    sizes: dict[str, int]
    spots: dict[str, Spot]


def layout(plan: Sequence[tuple[str, Shape]], shard_bytes: int) -> Layout:
    """Cut the tensors into shards and say where each begins; two bytes per element."""
    groups: list[list[tuple[str, Shape]]] = [[]]
    filled = 0
    for name, shape in plan:
        nbytes = 2 * math.prod(shape)
        if groups[-1] and filled + nbytes > shard_bytes:
            groups.append([])
            filled = 0
        groups[-1].append((name, shape))
        filled += nbytes
    made = Layout({}, {}, {})
    for i, group in enumerate(groups, 1):
        file = "model.safetensors" if len(groups) == 1 else f"model-{i:05d}-of-{len(groups):05d}.safetensors"
        _shard(made, file, group)
    return made


def _shard(made: Layout, file: str, group: Sequence[tuple[str, Shape]]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name, shape in group:
        end = offset + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    made.headers[file] = len(text).to_bytes(8, "little") + text
    made.sizes[file] = len(made.headers[file]) + offset
    for name, _ in group:
        made.spots[name] = Spot(file, len(made.headers[file]) + header[name]["data_offsets"][0])


def to_bf16(values: np.ndarray) -> np.ndarray:
    """Round float32 to bfloat16, nearest even; destroys its input.

    Example:
        >>> [hex(v) for v in to_bf16(np.float32([1.0, -2.0, 1.00390625])).tolist()]
        ['0x3f80', '0xc000', '0x3f80']
    """
    bits = values.view(np.uint32)
    bits += np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (bits >> np.uint32(16)).astype(np.uint16)


@cache
def pool(seed: int) -> np.ndarray:
    """Normal numbers that all noise is cut from."""
    return np.random.default_rng(seed).standard_normal(POOL, np.float32)


def _cut(seed: int, rng: np.random.Generator, count: int) -> np.ndarray:
    start = int(rng.integers(0, POOL - count))
    return pool(seed)[start : start + count]


def blocks(shape: Shape, seed: int, tensor: int, model: int) -> Iterator[np.ndarray]:
    """A tensor's bf16 bits, a run of whole rows at a time. `model` 0 is the base."""
    shared = np.random.default_rng([seed, tensor])
    own = np.random.default_rng([seed, tensor, model])
    width = shape[-1]
    rows = math.prod(shape) // width
    left = own.standard_normal((rows, RANK), np.float32) * np.float32(SCALE / math.sqrt(RANK))
    right = own.standard_normal((RANK, width), np.float32)
    step = max(1, BLOCK // width)
    for low in range(0, rows, step):
        high = min(rows, low + step)
        count = (high - low) * width
        values = _cut(seed, shared, count) * np.float32(0.02 if len(shape) > 1 else 0.05)
        if len(shape) == 1:
            values += 1
        if model:
            values += _cut(seed, own, count) * np.float32(0.3 * SCALE)
        if model and len(shape) > 1:
            values += (left[low:high] @ right).reshape(-1)
            places = own.integers(0, count, int(SPARSE * count))
            values[places] += _cut(seed, own, places.size) * np.float32(3 * SCALE)
        yield to_bf16(values)


def side_files(folder: Path, size: Size) -> None:
    """Config and a small tokenizer."""
    name = "Qwen3MoeForCausalLM" if size.experts else "LlamaForCausalLM"
    config = {
        "architectures": [name],
        "model_type": "qwen3_moe" if size.experts else "llama",
        "hidden_size": size.hidden,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "intermediate_size": size.inter,
        "vocab_size": size.vocab,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 2048,
        "rope_theta": 10000.0,
        "tie_word_embeddings": size.tied,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "torch_dtype": "bfloat16",
    }
    if size.experts:
        config |= {
            "num_experts": size.experts,
            "moe_intermediate_size": size.inter,
            "head_dim": size.hidden // size.heads,
        }
    words = {"<s>": 0, "</s>": 1, "<unk>": 2} | {f"w{i}": i + 3 for i in range(256)}
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, "content": c, **special} for c, i in list(words.items())[:3]],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "<unk>"},
    }
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    about = {"tokenizer_class": "PreTrainedTokenizerFast", **names, "model_max_length": 2048}
    files = {"config": config, "tokenizer": tokenizer, "tokenizer_config": about, "special_tokens_map": names}
    for file, content in files.items():
        (folder / f"{file}.json").write_text(json.dumps(content, indent=1))


def _prepare(folder: Path, size: Size, made: Layout) -> None:
    """Folder, side files, and every shard at its full size with its header; the rest is a hole."""
    folder.mkdir(parents=True, exist_ok=True)
    side_files(folder, size)
    for file, header in made.headers.items():
        with (folder / file).open("wb") as out:
            out.write(header)
            out.truncate(made.sizes[file])
    if len(made.headers) > 1:
        total = sum(n - len(made.headers[f]) for f, n in made.sizes.items())
        index = {"metadata": {"total_size": total}, "weight_map": {n: s.file for n, s in made.spots.items()}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1))


def names_of(models: int) -> list[str]:
    """Folder names: the base, then the experts."""
    return ["base", *(f"e{k}" for k in range(models))]


def write(out: Path, size: Size, models: int, *, seed: int = 0, shard_mb: int = 2048, threads: int = 2) -> None:
    """Write a base and `models` experts below `out`; what a finished earlier call wrote is kept."""
    done = out / "made.json"
    want = {"size": repr(size), "seed": seed, "shard_mb": shard_mb}
    had = json.loads(done.read_text()) if done.exists() else {}
    first = had.get("models", -1) + 1 if {k: had.get(k) for k in want} == want else 0
    plan = list(tensors(size))
    made = layout(plan, shard_mb << 20)
    pool(seed)
    with ThreadPoolExecutor(threads) as workers:
        for model, name in enumerate(names_of(models)):
            if model >= first:
                _prepare(out / name, size, made)
                _fill(out / name, plan, made, seed, model, workers)
    done.write_text(json.dumps({**want, "models": max(models, first - 1)}))


def _fill(
    folder: Path, plan: Sequence[tuple[str, Shape]], made: Layout, seed: int, model: int, workers: ThreadPoolExecutor
) -> None:
    files = {file: os.open(folder / file, os.O_WRONLY) for file in made.headers}

    def one(tensor: int) -> None:
        name, shape = plan[tensor]
        spot = made.spots[name]
        offset = spot.offset
        for bits in blocks(shape, seed, tensor, model):
            offset += os.pwrite(files[spot.file], bits.data, offset)

    try:
        list(workers.map(one, range(len(plan))))
    finally:
        for descriptor in files.values():
            os.close(descriptor)


def write_headers(out: Path, size: Size, models: int, *, shard_mb: int = 4096) -> None:
    """Write checkpoints whose tensors are holes: true headers and sizes, no bytes on the disk; for planning."""
    made = layout(list(tensors(size)), shard_mb << 20)
    for name in names_of(models):
        _prepare(out / name, size, made)


def main() -> None:
    """Write the checkpoints that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", choices=SIZES, default="0.1")
    parser.add_argument("--models", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--layers", type=int, help="in place of the size's own")
    parser.add_argument("--headers-only", action="store_true", help="sparse files, for planning")
    options = parser.parse_args()
    size = SIZES[options.size]
    size = replace(size, layers=options.layers) if options.layers else size
    if options.headers_only:
        write_headers(options.out, size, options.models)
    else:
        write(options.out, size, options.models, seed=options.seed)
    count = sum(1 for _ in tensors(size))
    print(f"{options.models + 1} checkpoints of {parameters(size) / 1e6:.1f} M parameters in {count} tensors")


if __name__ == "__main__":
    main()
