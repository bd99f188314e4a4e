"""The methods that are measured: the recipe of each, what it may take, and whether mergekit can run the same text."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEAD, CHEAP, FEW, MANY = 1.5, 2.5, 4.0, 12.0
"""Classes of the target table: wall time after start-up, in floors."""


@dataclass(frozen=True)
class Trial:
    """A method with its parameters.

    Attributes:
        method: its name; `also` parameters of the whole recipe, `each` of every model.
        target: floors that it owes. base: whether it takes one. takes: how many models, if only so many.
        both: the text is in mergekit's dialect, and mergekit runs it too; else it is a recipe of our own form.
    """

    method: str
    target: float
    also: dict[str, Any] = field(default_factory=dict)
    each: dict[str, Any] = field(default_factory=dict)
    base: bool = True
    takes: int | None = None
    both: bool = True

    def operands(self, models: int) -> int:
        """Models that it takes of so many."""
        return self.takes or models

    def folders(self, data: Path, models: int) -> list[Path]:
        """The checkpoints that it reads."""
        experts = [data / f"e{k}" for k in range(self.operands(models))]
        return [data / "base", *experts] if self.base else experts

    def recipe(self, data: Path, models: int) -> str:
        """The recipe's text (JSON, which is YAML)."""
        experts = [str(data / f"e{k}") for k in range(self.operands(models))]
        return json.dumps(self._theirs(data, experts) if self.both else self._ours(data, experts), indent=1)

    def _theirs(self, data: Path, experts: list[str]) -> dict[str, Any]:
        listed = [{"model": e, **({"parameters": self.each} if self.each else {})} for e in experts]
        return {
            "merge_method": self.method,
            **({"base_model": str(data / "base")} if self.base else {}),
            "models": listed if self.method not in WITH_BASE_LISTED else [{"model": str(data / "base")}, *listed],
            "parameters": self.also,
            "dtype": "bfloat16",
        }

    def _ours(self, data: Path, experts: list[str]) -> dict[str, Any]:
        based = {"base": str(data / "base")} if self.base else {}
        return {"method": self.method, **based, "models": experts, "parameters": {**self.also, **self.each}}


WITH_BASE_LISTED = ("slerp",)
"""Methods whose two operands are the base and a model, both listed."""
HALF = {"weight": 0.4, "density": 0.5}
TRIALS = {
    "linear": Trial("linear", HEAD, each={"weight": 0.3}, base=False),
    "task_arithmetic": Trial("task_arithmetic", HEAD, each={"weight": 0.4}),
    "ties": Trial("ties", CHEAP, each={"weight": 0.4, "density": 0.2}),
    "ties (whole model)": Trial("ties", CHEAP, {"weight": 0.4, "density": 0.2}, both=False),
    "dare_linear (1/p)": Trial("dare_linear", CHEAP, HALF, both=False),
    "dare_ties (1/p)": Trial("dare_ties", CHEAP, {**HALF, "top": 1.0}, both=False),
    "breadcrumbs": Trial("breadcrumbs", CHEAP, each={"weight": 0.4, "density": 0.9, "gamma": 0.01}),
    "breadcrumbs_ties": Trial("breadcrumbs_ties", CHEAP, each={"weight": 0.4, "density": 0.9, "gamma": 0.01}),
    "ram": Trial("ram", CHEAP),
    "ramplus_tl": Trial("ramplus_tl", CHEAP),
    "nearswap": Trial("nearswap", CHEAP, {"t": 0.001}, takes=1),
    "sce": Trial("sce", FEW, {"select_topk": 0.2}),
    "model_stock": Trial("model_stock", FEW),
    "slerp": Trial("slerp", FEW, {"t": 0.5}, takes=1),
    "nuslerp": Trial("nuslerp", FEW, each={"weight": 0.5}, base=False, takes=2),
    "multislerp": Trial("multislerp", FEW, each={"weight": 0.3}, base=False),
    "karcher": Trial("karcher", FEW, base=False),
    "dare_linear (L1)": Trial("dare_linear", FEW, {"rescale": True}, HALF),
    "dare_ties (L1)": Trial("dare_ties", FEW, {"rescale": True}, HALF),
    "della": Trial("della", MANY, each={**HALF, "epsilon": 0.15}),
    "della_linear": Trial("della_linear", MANY, each={**HALF, "epsilon": 0.15}),
    "arcee_fusion": Trial("arcee_fusion", MANY, takes=1),
}
