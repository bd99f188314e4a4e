"""The output's tokenizer files: copied from one model, or that model's files extended to a larger vocabulary."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from solera.checkpoints.contract import Limits
from solera.checkpoints.folder import list_files, path_inside
from solera.checkpoints.strict_json import read_limited, read_object
from solera.errors import MissingExtra, NotFound
from solera.methods.vocab.read import SENTENCEPIECE, read_vocabulary
from solera.methods.vocab.template import TEMPLATE_FILE, TEMPLATE_FOLDER, TEMPLATE_JSON, dump, with_template
from solera.methods.vocab.tokenizer_json import extended
from solera.methods.vocab.values import Vocabulary

_MAIN = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", TEMPLATE_FILE, TEMPLATE_JSON)
_LEGACY = ("vocab.json", "merges.txt", "vocab.txt", "added_tokens.json", *SENTENCEPIECE)
_CLOSED = ("tiktoken.model", "qwen.tiktoken", "tekken.json", "source.spm", "target.spm", "normalizer.json")
TOKENIZER_FILES = (*_MAIN, *_LEGACY, *_CLOSED)
"""Names of the files that make up a tokenizer, chat templates included."""


@dataclass(frozen=True, slots=True)
class BuiltTokenizer:
    """Tokenizer files by name, and what a user must know about them."""

    files: Mapping[str, bytes]
    notes: tuple[str, ...] = ()


def is_tokenizer_file(name: str) -> bool:
    """Whether a file beside the weights belongs to the tokenizer (chat templates included).

    Example:
        >>> is_tokenizer_file("merges.txt"), is_tokenizer_file("preprocessor_config.json")
        (True, False)
    """
    return name in TOKENIZER_FILES or name.startswith(f"{TEMPLATE_FOLDER}/") or name.endswith(".tiktoken")


def build_tokenizer(
    output: Vocabulary,
    base_folder: Path,
    *,
    base: Vocabulary | None = None,
    donors: Sequence[Vocabulary] = (),
    template: str | None = None,
    plain: Literal["added", "model"] = "added",
) -> BuiltTokenizer:
    """Make the tokenizer files for a vocabulary that starts with the one in `base_folder`.

    Where nothing was added the files are copied byte for byte. Else tokenizer.json and tokenizer_config.json are
    extended and files in older formats, which would contradict them, are left out (a note says which).

    Args:
        output: the vocabulary to be written.
        base_folder: the model whose tokenizer is the starting point.
        base: its vocabulary, if it was read already.
        donors: the other models, whose merges are used where `plain` is "model".
        template: chat template to write; None copies.
        plain: what becomes of new plain tokens of a BPE tokenizer: see `extended`.

    Raises:
        NotFound: no tokenizer there. MissingExtra: the base has no tokenizer.json, so that transformers must make one.
    """
    files = tokenizer_files(base_folder)
    before = base or read_vocabulary(base_folder)
    notes: list[str] = []
    if dict(output.tokens) != dict(before.tokens) or dict(output.added) != dict(before.added):
        merges = [m for donor in donors for m in _merges_of(donor)] if plain == "model" else None
        files, notes = _extend(files, output, before, base_folder, merges)
    if template is not None:
        files = with_template(files, template)
    return BuiltTokenizer(files, tuple(notes))


def tokenizer_files(folder: Path, names: Iterable[str] | None = None) -> dict[str, bytes]:
    """The tokenizer files of a model folder, by name.

    Args:
        folder: the model's folder.
        names: which of its files; None looks for them.

    Raises:
        NotFound: there are none. UnsafeFile: one leads out of the folder, or is too large.
    """
    wanted = [name for name in list_files(folder) if is_tokenizer_file(name)] if names is None else list(names)
    if not wanted:
        raise NotFound("The model has no tokenizer.", where=str(folder), want="tokenizer.json or the like")
    return {n: read_limited(path_inside(folder, n), Limits().json_bytes, what=f"`{n}`") for n in wanted}


def _extend(
    files: Mapping[str, bytes], output: Vocabulary, before: Vocabulary, folder: Path, merges: list[list[str]] | None
) -> tuple[dict[str, bytes], list[str]]:
    made = dict(files) if "tokenizer.json" in files else _converted(folder)
    data = json.loads(made["tokenizer.json"])
    made["tokenizer.json"] = dump(extended(data, output, merges=merges))
    if "tokenizer_config.json" in made:
        made["tokenizer_config.json"] = dump(_settings(json.loads(made["tokenizer_config.json"]), output, before))
    dropped = sorted(name for name in made if name in (*_LEGACY, *_CLOSED) or name.endswith(".tiktoken"))
    notes = [f"{name} is left out: it would not have the new tokens; tokenizer.json has them" for name in dropped]
    return {name: data for name, data in made.items() if name not in dropped}, notes


def _settings(settings: Mapping[str, Any], output: Vocabulary, before: Vocabulary) -> dict[str, Any]:
    """tokenizer_config.json with the output's added tokens wherever it lists such."""
    out = dict(settings)
    if "added_tokens_decoder" in out:
        old = out["added_tokens_decoder"]
        by_id = sorted((output.tokens[t], t) for t in output.added)
        out["added_tokens_decoder"] = {str(i): old.get(str(i)) or output.added[t].entry(t) for i, t in by_id}
    fresh = [t for t, flags in output.added.items() if flags.special and t not in before.added]
    for key in ("additional_special_tokens", "extra_special_tokens"):
        if isinstance(out.get(key), list):
            out[key] = [*out[key], *fresh]
    return out


def _merges_of(donor: Vocabulary) -> Iterator[list[str]]:
    path = None if donor.folder is None else donor.folder / "tokenizer.json"
    if path is None or not path.is_file():
        return
    model = read_object(path, Limits().json_bytes, what="The tokenizer").get("model") or {}
    for merge in model.get("merges") or []:
        yield merge.split(" ", 1) if isinstance(merge, str) else list(merge)


def _converted(folder: Path) -> dict[str, bytes]:
    """Files of the same tokenizer with a tokenizer.json, made by transformers from the older formats."""
    try:
        from transformers import AutoTokenizer
    except ImportError:
        raise MissingExtra("hf", needed_for="extending a tokenizer that has no tokenizer.json") from None
    with tempfile.TemporaryDirectory() as scratch:
        AutoTokenizer.from_pretrained(str(folder), local_files_only=True).save_pretrained(scratch)
        return tokenizer_files(Path(scratch))
