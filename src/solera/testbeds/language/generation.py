"""What a language model writes by itself: greedy, many items at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from solera.evaluate.contract import Measured
from solera.testbeds.language.scoring import Rows

COLON = " :"
"""Stands between the steps and the answer."""


def generated(tokenizer: Any, rows: Rows, longest: int, model: Any, batch: int = 100) -> Measured:
    """Write an answer to every item and compare.

    Args:
        tokenizer: of the model, padding on the left.
        rows: (ids given, ids of the answer) per item.
        longest: most tokens written.
        model: causal language model.
        batch: items at a time.

    Returns:
        answer, whole, length: see `lm.generating_tasks`.
    """
    colon = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(COLON))[0]
    written = [
        ids for i in range(0, len(rows), batch) for ids in _written(tokenizer, rows[i : i + batch], longest, model)
    ]
    pairs = [(ids, wanted) for ids, (_, wanted) in zip(written, rows, strict=True)]
    return {
        "answer": [float(_last(got, colon) == _last(want, colon)) for got, want in pairs],
        "whole": [float(got == want) for got, want in pairs],
        "length": [float(len(got)) for got, _ in pairs],
    }


def _written(tokenizer: Any, rows: Rows, longest: int, model: Any) -> list[list[int]]:
    """Ids up to and with the end token."""
    import torch

    width = max(len(given) for given, _ in rows)
    ids = torch.tensor([[tokenizer.pad_token_id] * (width - len(given)) + given for given, _ in rows])
    mask = torch.tensor([[0] * (width - len(given)) + [1] * len(given) for given, _ in rows])
    # a mixture in training weighs its routers' loss by the mask of one forward pass, which a cache makes longer
    unweighed = {"output_router_logits": False} if hasattr(model.config, "output_router_logits") else {}
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids, attention_mask=mask, max_new_tokens=longest, do_sample=False, num_beams=1,
            pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, **unweighed,
        )  # fmt: skip
    return [_ended(row, tokenizer.eos_token_id) for row in out[:, width:].tolist()]


def _ended(ids: Sequence[int], end: int) -> list[int]:
    """Up to and with the first end token.

    Example:
        >>> _ended([5, 6, 3, 0, 0], 3)
        [5, 6, 3]
    """
    row = list(ids)
    return row[: row.index(end) + 1] if end in row else row


def _last(ids: Sequence[int], mark: int) -> list[int]:
    """What follows the last mark; everything where there is none.

    Example:
        >>> _last([7, 9, 7, 8], 7), _last([1, 2], 7)
        ([8], [1, 2])
    """
    row = list(ids)
    return row[len(row) - row[::-1].index(mark) :] if mark in row else row
