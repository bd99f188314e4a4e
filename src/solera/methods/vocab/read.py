"""Read a model's vocabulary from its tokenizer files: plain JSON, no tokenizer library.

Sources: tokenizer.json first; else vocab.json, vocab.txt, or a SentencePiece model (needs the extra `hf`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from solera.checkpoints.contract import Limits
from solera.checkpoints.strict_json import read_limited, read_object
from solera.errors import CorruptFile, MissingExtra, NotFound
from solera.methods.vocab.values import Added, Kind, Vocabulary

SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model", "sentencepiece.model")
"""Names under which SentencePiece models are stored; only in the first are the pieces' positions the token ids."""

_KINDS: Mapping[str, Kind] = {"BPE": "bpe", "Unigram": "unigram", "WordPiece": "wordpiece", "WordLevel": "wordlevel"}
_FLAGS = tuple(f.name for f in fields(Added))
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(slots=True)
class _Draft:
    kind: Kind
    tokens: dict[str, int]
    added: dict[str, Added] = field(default_factory=dict)


def read_vocabulary(
    folder: Path, config: Mapping[str, Any] | None = None, *, rows: int | None = None, label: str = ""
) -> Vocabulary:
    """Read the vocabulary of a model folder.

    Args:
        folder: the model's folder.
        config: its config.json, asked for the number of embedding rows.
        rows: embedding rows where they are known better (from the tensor's shape).
        label: the model's name for messages.

    Cost: one JSON file of up to some tens of MB.

    Raises:
        NotFound: no tokenizer files that can be read. CorruptFile, UnsafeFile: a file lies or is too large.
        MissingExtra: only a SentencePiece model is there, and its reader is not installed.

    Example:
        >>> import json, pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> model = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}
        >>> _ = (folder / "tokenizer.json").write_text(json.dumps({"model": model, "added_tokens": []}))
        >>> read_vocabulary(folder, {"vocab_size": 8}).rows
        8
    """
    settings = _optional(folder, "tokenizer_config.json")
    draft = _draft(folder)
    _add(draft, _configured(folder, settings))
    _add(draft, _named(draft, settings, _optional(folder, "special_tokens_map.json")))
    found = Vocabulary(draft.tokens, draft.kind, 0, draft.added, label or folder.name, folder)
    count = rows if rows is not None else embedding_rows(config or {})
    return _with_rows(found, found.size if count is None else count)


def embedding_rows(config: Mapping[str, Any]) -> int | None:
    """Rows of the text embedding that a config states, nested text configs included; None if it does not say.

    Example:
        >>> embedding_rows({"text_config": {"vocab_size": 32000}})
        32000
    """
    for part in (config, *(config.get(key) for key in TEXT_CONFIGS)):
        count = part.get("vocab_size") if isinstance(part, Mapping) else None
        if isinstance(count, int) and count > 0:
            return count
    return None


TEXT_CONFIGS = ("text_config", "llm_config", "language_config", "decoder", "thinker_config")
"""Config keys under which the text model of a larger model keeps its own settings."""


def tokenizer_parts(data: Mapping[str, Any], where: str) -> tuple[Kind, dict[str, int]]:
    """Kind and model vocabulary (without added tokens) of a parsed tokenizer.json.

    Raises:
        CorruptFile: the file has no vocabulary, or ids that are no whole numbers.
    """
    model = data.get("model")
    if not isinstance(model, dict):
        raise CorruptFile("The tokenizer has no `model`.", where=where)
    kind, vocab = _kind(model), model.get("vocab")
    if isinstance(vocab, list):
        vocab = {piece[0]: i for i, piece in enumerate(vocab) if isinstance(piece, (list, tuple)) and piece}
    if not isinstance(vocab, dict) or not all(isinstance(i, int) and i >= 0 for i in vocab.values()):
        raise CorruptFile("The tokenizer has no usable vocabulary.", where=where, want="token -> id")
    return kind, vocab


def _kind(model: Mapping[str, Any]) -> Kind:
    if model.get("type") in _KINDS:
        return _KINDS[model["type"]]
    if "merges" in model:
        return "bpe"
    if isinstance(model.get("vocab"), list):
        return "unigram"
    return "wordpiece" if "continuing_subword_prefix" in model else "wordlevel"


def _draft(folder: Path) -> _Draft:
    if (folder / "tokenizer.json").is_file():
        return _from_tokenizer_json(folder / "tokenizer.json")
    if (folder / "vocab.json").is_file():
        vocab = read_object(folder / "vocab.json", Limits().json_bytes, what="The vocabulary")
        return _Draft("bpe" if (folder / "merges.txt").is_file() else "wordlevel", _ids(vocab, folder / "vocab.json"))
    if (folder / "vocab.txt").is_file():
        text = read_limited(folder / "vocab.txt", Limits().json_bytes, what="The vocabulary").decode("utf-8", "replace")
        return _Draft("wordpiece", {token: i for i, token in enumerate(text.removesuffix("\n").split("\n"))})
    if (folder / "tokenizer.model").is_file():
        return _from_sentencepiece(folder / "tokenizer.model")
    raise NotFound(
        "The model has no tokenizer that can be read.",
        where=str(folder),
        want="tokenizer.json, vocab.json with merges.txt, vocab.txt or tokenizer.model",
        fix="save the tokenizer once with transformers (AutoTokenizer…save_pretrained), or leave `tokenizer` out",
    )


def _from_tokenizer_json(path: Path) -> _Draft:
    data = read_object(path, Limits().json_bytes, what="The tokenizer")
    draft = _Draft(*tokenizer_parts(data, str(path)))
    entries = data.get("added_tokens") or []
    _add(draft, ((e["content"], int(e["id"]), _flags(e)) for e in entries if isinstance(e, dict) and _is_entry(e)))
    return draft


def _is_entry(entry: Mapping[str, Any]) -> bool:
    return isinstance(entry.get("content"), str) and isinstance(entry.get("id"), int)


def _from_sentencepiece(path: Path) -> _Draft:
    try:
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
        from sentencepiece import sentencepiece_model_pb2
    except ImportError:
        raise MissingExtra("hf", needed_for=f"reading {path.name} (sentencepiece and protobuf)") from None
    proto = sentencepiece_model_pb2.ModelProto()
    try:
        proto.ParseFromString(read_limited(path, Limits().json_bytes, what="The SentencePiece model"))
    except (ValueError, DecodeError) as error:
        raise CorruptFile("The SentencePiece model cannot be read.", where=str(path), got=str(error)[:200]) from None
    draft = _Draft("bpe" if proto.trainer_spec.model_type == 2 else "unigram", {})
    for i, piece in enumerate(proto.pieces):
        draft.tokens[piece.piece] = i
        if piece.type in (2, 3, 4):  # unknown, control, user-defined: matched before the model sees the text
            draft.added[piece.piece] = Added(special=piece.type != 4)
    return draft


def _ids(vocab: Mapping[str, Any], path: Path) -> dict[str, int]:
    if not all(isinstance(i, int) and i >= 0 for i in vocab.values()):
        raise CorruptFile("The vocabulary holds ids that are no whole numbers.", where=str(path), want="token -> id")
    return dict(vocab)


def _configured(folder: Path, settings: Mapping[str, Any]) -> Iterator[tuple[str, int, Added | None]]:
    """Added tokens that stand outside tokenizer.json."""
    decoder = settings.get("added_tokens_decoder")
    for key, entry in (decoder if isinstance(decoder, dict) else {}).items():
        if isinstance(entry, dict) and isinstance(entry.get("content"), str) and str(key).isdigit():
            yield entry["content"], int(key), _flags(entry)
    for token, number in _optional(folder, "added_tokens.json").items():
        if isinstance(number, int):
            yield token, number, None


def _named(
    draft: _Draft, settings: Mapping[str, Any], special: Mapping[str, Any]
) -> Iterator[tuple[str, int, Added | None]]:
    """Tokens that only a role names (pad_token, …): tokenizers append them when they are loaded."""
    following = 1 + max(draft.tokens.values(), default=-1)
    for name in _NAMED:
        value = settings.get(name, special.get(name))
        content = value.get("content") if isinstance(value, dict) else value
        if isinstance(content, str) and content not in draft.tokens:
            yield content, following, Added(special=True)
            following += 1


def _add(draft: _Draft, entries: Iterator[tuple[str, int, Added | None]]) -> None:
    for token, number, flags in entries:
        draft.tokens.setdefault(token, number)
        draft.added.setdefault(token, flags or Added())


def _flags(entry: Mapping[str, Any]) -> Added:
    return Added(**{name: entry.get(name) is True for name in _FLAGS})


def _optional(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    return read_object(path, Limits().json_bytes, what=f"`{name}`") if path.is_file() else {}


def _with_rows(found: Vocabulary, rows: int) -> Vocabulary:
    beyond = sum(i >= rows for i in found.tokens.values())
    notes = (f"{found.label}: {beyond} tokens have no embedding row",) if beyond else ()
    return replace(found, rows=rows, notes=notes)
