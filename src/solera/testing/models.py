"""Tiny real models of every described architecture, for tests: built locally, in a second, below one megabyte.

`build` writes what `save_pretrained` writes; `expert_of` makes a fine-tuned-like copy; `tokenizer` writes a real
tokenizer. Needs the extra `hf`; transformers is imported when a model is built.
"""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from solera.errors import MissingExtra, UnknownName, nearest
from solera.testing.configs import CONFIGS, Sizes
from solera.testing.tokenizers import tokenizer_of, vocabularies

__all__ = ["ARCHITECTURES", "build", "expert_of", "tokenizer", "vocabularies"]

ARCHITECTURES: tuple[str, ...] = tuple(CONFIGS)
"""Names that `build` knows."""


def build(
    name: str,
    folder: Path,
    *,
    seed: int = 0,
    dtype: str = "float32",
    tied: bool | None = None,
    layers: int = 4,
    vocab: int = 64,
    memory_layout: bool = False,
    **changes: Any,
) -> Path:
    """Make a tiny model with random weights and save it as a Hugging Face folder.

    Args:
        name: one of `ARCHITECTURES`.
        folder: where to; made if missing.
        seed: of the weights; the same seed gives the same bytes.
        dtype: torch's name of the element type.
        tied: whether head and embedding share weights; None: as the architecture's default.
        layers: of each stack.
        vocab: entries of the vocabulary.
        memory_layout: write the tensors as transformers holds them (fused experts, new prefixes) instead of in the
            published layout.
        changes: further settings, put over the (text) config.

    Returns:
        The folder.

    Raises:
        UnknownName: no such architecture.
    """
    if name not in CONFIGS:
        raise UnknownName(f"no tiny model `{name}`", got=name, fix=nearest(name, ARCHITECTURES))
    recipe = CONFIGS[name]
    model = _model(recipe.head, recipe.settings(Sizes(layers, vocab), tied, changes), recipe.model_type, seed)
    _randomise(model, seed)
    folder.mkdir(parents=True, exist_ok=True)
    _quietly(lambda: model.to(dtype=_dtype(dtype)).save_pretrained(folder, save_original_format=not memory_layout))
    return folder


def expert_of(folder: Path, out: Path, *, seed: int, scale: float = 0.01) -> Path:
    """Copy a model and move every float tensor by small normal noise, as a fine-tuning would.

    Args:
        folder: a model folder with safetensors files.
        out: the copy.
        seed: of the noise.
        scale: standard deviation of the noise.
    """
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    shutil.copytree(folder, out, dirs_exist_ok=True)
    draw = torch.Generator().manual_seed(seed)
    for path in sorted(out.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            moved = {key: _moved(file.get_tensor(key), draw, scale) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        save_file(moved, path, metadata)
    return out


def tokenizer(kind: str, tokens: list[str], folder: Path, **settings: Any) -> Path:
    """Write a tokenizer.json and tokenizer_config.json whose token ids are the positions in `tokens`.

    Args:
        kind: "bpe", "unigram" or "wordpiece".
        tokens: the vocabulary in id order; ``<...>`` and ``[...]`` are special; WordPiece continuations start with
            ``##``, and unigram word starts with the Metaspace mark.
        folder: where to; made if missing.
        settings: further entries of tokenizer_config.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made, named = tokenizer_of(kind, tokens)
    made.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, **named, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), "utf-8")
    return folder


def _model(head: str, settings: Mapping[str, Any], model_type: str, seed: int) -> Any:
    import torch

    transformers = _transformers()
    config = transformers.AutoConfig.for_model(model_type, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return getattr(transformers, head)(config)


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise MissingExtra("hf", needed_for="building models for tests") from None


def _randomise(model: Any, seed: int) -> None:
    import torch

    draw = torch.Generator().manual_seed(seed)
    kept = model.state_dict(keep_vars=True)
    with torch.no_grad():
        for tensor in {id(t): t for t in kept.values()}.values():
            if tensor.is_floating_point():
                tensor.copy_(_moved(tensor.detach(), draw, 0.1))


def _moved(tensor: Any, draw: Any, scale: float) -> Any:
    import torch

    if not tensor.is_floating_point():
        return tensor
    noise = torch.randn(tensor.shape, generator=draw, dtype=torch.float32)
    return (tensor.float() + scale * noise).to(tensor.dtype)


def _dtype(name: str) -> Any:
    import torch

    return getattr(torch, name)


def _quietly(action: Callable[[], object]) -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
    action()
