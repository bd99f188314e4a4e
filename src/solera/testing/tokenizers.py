"""Small real tokenizers of the three common kinds, from a list of tokens."""

from __future__ import annotations

import random
from itertools import product
from typing import Any

from solera.errors import BadParameter, MissingExtra, UnknownName, nearest

_LETTERS = "abcdefghij"
KINDS = ("bpe", "unigram", "wordpiece")
_NAMES = {
    "unk_token": ("<unk>", "[UNK]"),
    "bos_token": ("<s>", "<bos>"),
    "eos_token": ("</s>", "<eos>"),
    "pad_token": ("<pad>", "[PAD]"),
    "cls_token": ("[CLS]",),
    "sep_token": ("[SEP]",),
    "mask_token": ("<mask>", "[MASK]"),
}


def tokenizer_of(kind: str, tokens: list[str]) -> tuple[Any, dict[str, str]]:
    """A `tokenizers.Tokenizer` with the given vocabulary, and the named special tokens found in it.

    Raises:
        UnknownName: no such kind.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtra("hf", needed_for="building tokenizers for tests") from None

    if kind not in KINDS:
        raise UnknownName(f"no tokenizer kind `{kind}`", got=kind, fix=nearest(kind, KINDS))
    named = {name: found for name, options in _NAMES.items() for found in options if found in tokens}
    made = Tokenizer(_model(kind, tokens, named.get("unk_token")))
    _dress(made, kind)
    made.add_special_tokens([token for token in tokens if special(token)])
    return made, named


def vocabularies(kind: str, *, models: int = 2, size: int = 64, seed: int = 0) -> tuple[list[str], ...]:
    """Token lists that share half of their tokens, each in an order of its own.

    Args:
        kind: as for `tokenizer_of`.
        models: how many lists.
        size: tokens in each list, at least 52.
        seed: of the orders.

    Raises:
        BadParameter: the lists would be too small, or there are too few two-letter words to fill them.

    Example:
        >>> a, b = vocabularies("bpe")
        >>> len(a), len(b), len(set(a) & set(b))
        (64, 64, 32)
    """
    base, words = _base(kind), ["".join(pair) for pair in product(_LETTERS, repeat=2)]
    half = size // 2
    rest = half - len(base)
    if rest < 0 or rest + models * (size - half) > len(words):
        raise BadParameter(
            "vocabulary size does not fit", got=f"{models} lists of {size}", want="fewer or middling lists"
        )
    shared, own = base + words[:rest], iter(words[rest:])
    lists = [shared + [next(own) for _ in range(size - half)] for _ in range(models)]
    for at, tokens in enumerate(lists):
        random.Random(f"{seed} {at}").shuffle(tokens)  # noqa: S311
    return tuple(lists)


def _base(kind: str) -> list[str]:
    if kind == "wordpiece":
        return ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS, *(f"##{c}" for c in _LETTERS)]
    return ["<unk>", "<s>", "</s>", "<pad>", "Ġ" if kind == "bpe" else "▁", *_LETTERS]


def special(token: str) -> bool:
    """Whether a token of a tiny vocabulary is a special one.

    Example:
        >>> [special(t) for t in ("<s>", "[CLS]", "ab", "<")]
        [True, True, False, False]
    """
    return len(token) > 2 and (token[0], token[-1]) in (("<", ">"), ("[", "]"))


def _model(kind: str, tokens: list[str], unk: str | None) -> Any:
    from tokenizers.models import BPE, Unigram, WordPiece

    ids = {token: at for at, token in enumerate(tokens)}
    if kind == "bpe":
        return BPE(vocab=ids, merges=merges(tokens), unk_token=unk)
    if kind == "wordpiece":
        return WordPiece(vocab=ids, unk_token=unk or "[UNK]")
    return Unigram([(token, -float(len(tokens)) / max(1, len(token))) for token in tokens], ids.get(unk or ""))


def merges(tokens: list[str]) -> list[tuple[str, str]]:
    """One merge per token of several characters that two other tokens make, shorter tokens first.

    Example:
        >>> merges(["a", "b", "ab", "abb"])
        [('a', 'b'), ('ab', 'b')]
    """
    known = {token for token in tokens if not special(token)}
    cuts = [(t[:i], t[i:]) for t in sorted(known, key=lambda t: (len(t), t)) for i in range(len(t) - 1, 0, -1)]
    found: dict[str, tuple[str, str]] = {}
    for left, right in cuts:
        if left in known and right in known:
            found.setdefault(left + right, (left, right))
    return list(found.values())


def _dress(made: Any, kind: str) -> None:
    from tokenizers import decoders, pre_tokenizers

    if kind == "bpe":
        made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    elif kind == "unigram":
        made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    else:
        made.pre_tokenizer, made.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
