"""Real tokenizers of three kinds, built with the tokenizers library, whose vocabularies overlap by half."""

from __future__ import annotations

import json
import random

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "then", "some", "dogs", "ran", "off", "into", "fog"]
MORE = ["a", "fog", "rolled", "over", "the", "hills", "while", "birds", "sang", "on", "and", "on"]
SPECIALS = ["<unk>", "<s>", "</s>"]


def byte_bpe(words):
    """(vocabulary, merges) that spell every word with byte letters and merge it whole from the left."""
    letters = sorted({c for w in words for c in w} | {"Ġ"})
    merges, seen = [], set()
    for word in words:
        for spelling in (word, "Ġ" + word):
            left = spelling[0]
            for letter in spelling[1:]:
                if (pair := (left, letter)) not in seen:
                    seen.add(pair)
                    merges.append(pair)
                left += letter
    return letters + list(dict.fromkeys(a + b for a, b in merges)), merges


def bpe(words, seed):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens, merges = byte_bpe(words)
    made = Tokenizer(models.BPE(vocab=_ids(tokens, seed), merges=merges, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def unigram(words, seed):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokens = sorted({c for w in words for c in w} | {"▁"}) + [f"▁{w}" for w in words]
    ids = _ids(list(dict.fromkeys(tokens)), seed)
    pieces = [(t, -float(2 + i % 7) if len(t) > 1 else -12.0) for i, t in enumerate(sorted(ids, key=ids.get))]
    made = Tokenizer(models.Unigram(pieces, unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made


def wordpiece(words, seed):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted({c for w in words for c in w})
    tokens = [*letters, *(f"##{c}" for c in letters), *words]
    made = Tokenizer(models.WordPiece(_ids(list(dict.fromkeys(tokens)), seed), unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return made


def _ids(tokens, seed):
    shuffled = [t for t in tokens if t not in SPECIALS]
    random.Random(seed).shuffle(shuffled)
    return {t: i for i, t in enumerate([*SPECIALS, *shuffled])}


KINDS = {"bpe": bpe, "unigram": unigram, "wordpiece": wordpiece}


def save(folder, made, *, extra=(), pad=0, template=None, names=None):
    """Write a tokenizer folder as transformers does, with a config whose embedding has `pad` rows too many."""
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerFast

    made.add_special_tokens(SPECIALS)
    made.add_special_tokens([AddedToken(t, special=True) for t in extra])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>", **(names or {})
    )
    fast.chat_template = template
    fast.save_pretrained(folder)
    config = {"model_type": "llama", "vocab_size": len(fast) + pad}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
