"""Small pieces that recipes write in several ways: layer ranges, sizes, dtypes, tokenizers' texts."""

from __future__ import annotations

import re
from fractions import Fraction

from solera.errors import BadParameter, nearest
from solera.types import DType

_RANGE = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?\Z", re.ASCII)
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([kKmMgGtT]?)(i?)[bB]?\s*\Z", re.ASCII)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_OUTPUT_DTYPES = (DType.F32, DType.BF16, DType.F16, DType.F64)


def layer_range(raw: str | int | list[int]) -> tuple[int, int]:
    """Read an inclusive range of layers.

    Raises:
        BadParameter: not a range, or it ends before it starts.

    Example:
        >>> layer_range("0-11"), layer_range(3), layer_range([4, 7])
        ((0, 11), (3, 3), (4, 7))
    """
    found = _pair(raw)
    if found is None or not 0 <= found[0] <= found[1]:
        raise BadParameter("The layers are not readable.", got=raw, want='"0-11", one number, or [first, last]')
    return found


def _pair(raw: str | int | list[int]) -> tuple[int, int] | None:
    if isinstance(raw, str):
        match = _RANGE.match(raw)
        return (int(match[1]), int(match[2] or match[1])) if match else None
    if isinstance(raw, int):
        return raw, raw
    return (raw[0], raw[1]) if len(raw) == 2 else None


def half_open(raw: list[int]) -> tuple[int, int]:
    """Read mergekit's `layer_range`: [first, end), which may be empty.

    Raises:
        BadParameter: not two numbers, or out of order.

    Example:
        >>> half_open([0, 12])
        (0, 12)
    """
    if len(raw) != 2 or not 0 <= raw[0] <= raw[1]:
        raise BadParameter("The layers are not readable.", got=raw, want="[first, end) with 0 <= first <= end")
    return raw[0], raw[1]


def size_bytes(raw: str | int) -> int:
    """Read a size: "5GB" is 5 * 1000**3 bytes, "5GiB" is 5 * 1024**3.

    Raises:
        BadParameter: not a size, or not positive.

    Example:
        >>> size_bytes("1.5GB"), size_bytes("2KiB"), size_bytes(7)
        (1500000000, 2048, 7)
    """
    match = _SIZE.match(raw) if isinstance(raw, str) else None
    count = raw if isinstance(raw, int) else 0
    if match:
        unit = (1024 if match[3] else 1000) ** _POWERS[match[2].upper()]
        count = int(Fraction(match[1]) * unit)
    if count <= 0:
        raise BadParameter("The size is not readable.", got=raw, want='a size such as "5GB" or "500MB"')
    return count


def size_text(count: int) -> str | int:
    """Write a size so that `size_bytes` reads it back exactly.

    Example:
        >>> size_text(5_000_000_000), size_text(1234)
        ('5GB', 1234)
    """
    for unit in ("T", "G", "M"):
        size = 1000 ** _POWERS[unit]
        if count % size == 0:
            return f"{count // size}{unit}B"
    return count


def output_dtype(raw: str) -> DType:
    """Read the type in which results are written.

    Raises:
        BadParameter: not a floating type that weights are kept in.

    Example:
        >>> output_dtype("bf16")
        <DType.BF16: 'BF16'>
    """
    try:
        dtype = DType.parse(raw)
    except ValueError:
        dtype = None
    if dtype not in _OUTPUT_DTYPES:
        raise BadParameter("The dtype is not usable.", got=raw, want=", ".join(d.torch_name for d in _OUTPUT_DTYPES))
    return dtype


CHAT_TEMPLATES = ("alpaca", "chatml", "exaone", "llama3", "mistral")
"""Chat templates known by name."""


def chat_template(raw: str) -> str:
    """Read a chat template: "auto", a known name, or the template's text.

    Raises:
        BadParameter: neither a known name nor the text of a template.

    Example:
        >>> chat_template("chatml")
        'chatml'
    """
    if raw != "auto" and raw not in CHAT_TEMPLATES and "{" not in raw:
        fix = nearest(raw, ("auto", *CHAT_TEMPLATES))
        raise BadParameter("The chat template is not known.", got=raw, want='a name, "auto", or template text', fix=fix)
    return raw
