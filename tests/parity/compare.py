"""Compares one merged folder with its stored result and says, in numbers, how far apart they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import outputs
import torch
from numpy.typing import NDArray
from ruamel.yaml import YAML
from safetensors.torch import load_file

HERE = Path(__file__).parent
CASES, GOLDENS = HERE / "cases", HERE / "goldens"
SPHERE = ("slerp", "nuslerp", "multislerp", "karcher")
# One unit in the last place at magnitudes just above a power of two.
ULP = {torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}
FLIPS = 1e-3  # share of half-precision elements that may fall on the other side of a rounding

# Where the folder is repaired on purpose: case -> field -> our value.
REPAIRED: Mapping[str, Mapping[str, Any]] = {
    "linear_tied_mix": {"tie_word_embeddings": False},  # a head is written, so the flag says so
}
# The other tool rounds after every operation, we once at the end: case -> allowed max|delta| / max|ref|.
ROUNDED: Mapping[str, float] = {"task_arithmetic_dtype_bfloat16": 2.0**-7}
# Ids of tokens new to the base come from an unordered set there: compared as a set, rows by token.
UNORDERED = ("union",)


@dataclass(slots=True)
class Outcome:
    """What a comparison found; `faults` is empty when the folder equals the stored result."""

    case: str
    method: str
    error: float = 0.0  # largest max|delta| / max|ref| over float32 tensors
    flips: int = 0  # half-precision elements one rounding apart
    tensors: int = 0
    faults: list[str] = field(default_factory=list)


def recipe(case: str) -> dict[str, Any]:
    """Return the last document of a case's recipe."""
    folder = CASES / "random" if case.startswith("random_") else CASES
    text = (folder / f"{case.removeprefix('random_')}.yaml").read_text(encoding="utf-8")
    return list(YAML(typ="safe").load_all(text))[-1]


def names() -> list[str]:
    """Return the name of every deterministic case."""
    return sorted(path.stem for path in CASES.glob("*.yaml"))


def golden_row(case: str) -> dict[str, Any]:
    """Return what goldens.json holds for a case."""
    return json.loads((GOLDENS / "goldens.json").read_text(encoding="utf-8"))["cases"][case]


def methods_of(case: str) -> set[str]:
    """Return the methods of every document of a case's recipe."""
    text = (CASES / f"{case}.yaml").read_text(encoding="utf-8")
    return {document["merge_method"] for document in YAML(typ="safe").load_all(text)}


def tolerance(case: str) -> float:
    """Return the largest allowed max|delta| / max|ref| of a float32 tensor."""
    if case in ROUNDED:
        return ROUNDED[case]
    return 1e-5 if methods_of(case) & set(SPHERE) else 1e-6


def read(folder: Path) -> dict[str, torch.Tensor]:
    """Return every tensor of a merged folder, sharded or not."""
    out: dict[str, torch.Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        out |= load_file(path)
    return out


def as_float64(tensor: torch.Tensor) -> NDArray[np.float64]:
    """Widen a tensor of any float type."""
    return tensor.to(torch.float64).numpy()


def relative(got: NDArray[np.float64], want: NDArray[np.float64]) -> float:
    """Return max|got - want| / max|want|; the plain maximum where the reference is zero; inf for NaN."""
    if not np.isfinite(got).all():
        return float("inf")
    scale = float(np.abs(want).max(initial=0.0))
    return float(np.abs(got - want).max(initial=0.0)) / (scale or 1.0)


def flipped(got: NDArray[np.float64], want: NDArray[np.float64], ulp: float) -> tuple[int, float]:
    """Return how many elements differ, and the largest difference in units in the last place."""
    apart = np.abs(got - want)
    size = 2.0 ** np.floor(np.log2(np.maximum(np.abs(want), 1e-30)))
    return int((apart > 0).sum()), float((apart / (size * ulp)).max(initial=0.0))


def compare_tensor(out: Outcome, name: str, got: torch.Tensor, want: torch.Tensor, allowed: float) -> None:
    """Record the distance of one tensor in `out`."""
    if got.dtype != want.dtype or got.shape != want.shape:
        out.faults.append(f"{name}: got {got.dtype} {tuple(got.shape)}, want {want.dtype} {tuple(want.shape)}")
        return
    x, y = as_float64(got), as_float64(want)
    if want.dtype not in ULP or out.case in ROUNDED:
        error = relative(x, y)
        out.error = max(out.error, error)
        if error > allowed:
            out.faults.append(f"{name}: error {error:.2e} > {allowed:.0e}")
        return
    count, ulps = flipped(x, y, ULP[want.dtype])
    out.flips += count
    if not ulps <= 1.0 or not np.isfinite(x).all():
        out.faults.append(f"{name}: {ulps:.1f} units in the last place")


def match_rows(case: str, got: Mapping[str, int], want: Mapping[str, int], rows: int) -> list[int] | None:
    """Return for each stored row the row of ours that holds the same token; None keeps the order."""
    if not is_unordered(case):
        return None
    order = list(range(rows))
    for token, at in want.items():
        order[at] = got[token]
    return order


def is_unordered(case: str) -> bool:
    """Say whether the recipe's vocabulary has ids that the other tool leaves to chance."""
    document = recipe(case)
    source = document.get("tokenizer_source") or document.get("tokenizer", {}).get("source")
    return source in UNORDERED


def compare_tokens(out: Outcome, got: Mapping[str, int], want: Mapping[str, int]) -> None:
    """Record differences between two vocabularies in `out`."""
    if not is_unordered(out.case):
        if dict(got) != dict(want):
            out.faults.append(f"token ids differ: {sorted(set(got.items()) ^ set(want.items()))[:6]}")
        return
    if set(got) != set(want):
        out.faults.append(f"tokens differ: {sorted(set(got) ^ set(want))[:6]}")
    if sorted(got.values()) != sorted(want.values()):
        out.faults.append("token ids are not the same set")
    base = recipe(out.case).get("base_model")
    for token in sorted(base_tokens(base) & set(want) & set(got)):
        if got[token] != want[token]:
            out.faults.append(f"token {token!r}: got id {got[token]}, want {want[token]}")


def base_tokens(model: str | None) -> set[str]:
    """Return the tokens of the base model's own vocabulary, whose ids must stay."""
    import inputs

    return set(inputs.vocabulary(inputs.MODELS[model].tokenizer)) if model else set()


def squeeze(rendered: Mapping[str, str] | None) -> dict[str, str] | None:
    """Drop white space: named templates agree in turns and marks, not in indentation."""
    return rendered and {key: "".join(text.split()) for key, text in rendered.items()}


def compare(case: str, folder: Path, golden: Path | None = None) -> Outcome:
    """Compare a merged folder with the stored result of a case."""
    row, want = golden_row(case), load_file(golden or GOLDENS / f"{case}.safetensors")
    got, out = read(folder), Outcome(case, recipe(case)["merge_method"])
    compare_side_files(out, folder, row)
    if set(got) != set(want):
        out.faults.append(f"tensor names differ: {sorted(set(got) ^ set(want))}")
    for name in sorted(set(got) & set(want)):
        ours = got[name]
        if "tokens" in row and not out.faults and ("embed_tokens" in name or "lm_head" in name):
            order = match_rows(case, outputs.token_ids(folder), row["tokens"], len(want[name]))
            ours = ours if order is None or len(ours) != len(order) else ours[order]
        compare_tensor(out, name, ours, want[name], tolerance(case))
        out.tensors += 1
    total = sum(t.numel() for t in want.values() if t.dtype in ULP)
    if out.flips > max(1, FLIPS * total):
        out.faults.append(f"{out.flips} of {total} elements round differently")
    return out


def compare_side_files(out: Outcome, folder: Path, row: Mapping[str, Any]) -> None:
    """Record differences of config, vocabulary and chat template in `out`."""
    fields, mine = row["config"] | REPAIRED.get(out.case, {}), outputs.config_fields(folder)
    out.faults += [f"config {k}: got {mine[k]!r}, want {v!r}" for k, v in fields.items() if mine[k] != v]
    if "tokens" not in row:
        return
    compare_tokens(out, outputs.token_ids(folder), row["tokens"])
    template = outputs.chat_template(folder)
    rendered = None if template is None else outputs.render(template)
    if squeeze(rendered) != squeeze(row["rendered"]):
        out.faults.append(f"chat template renders as {rendered}, want {row['rendered']}")
