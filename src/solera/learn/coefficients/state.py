"""What is kept between runs: what the optimizer moves and remembers, and how it went so far."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from solera.errors import TargetInUse

STATE = "state.safetensors"


@dataclass(eq=False)
class Progress:
    """Everything that changes, and is kept between runs.

    `losses`: of every step. `checks`: (step, loss) of every check. `best`: coefficients of the best check, which was
    after step `chosen`.
    """

    raw: Tensor
    optimizer: torch.optim.Optimizer
    step: int = 0
    losses: list[float] = field(default_factory=list)
    checks: list[tuple[int, float]] = field(default_factory=list)
    best: Tensor | None = None
    chosen: int = 0
    waited: int = 0
    stopped: str = ""


def keep(progress: Progress, place: Path, key: str) -> None:
    """Write what a later run needs, under another name that is exchanged at the end."""
    from safetensors.torch import save_file

    found = progress.optimizer.state_dict()["state"].get(0, {})
    tensors = {f"optimizer.{name}": value for name, value in found.items()}
    tensors |= {"raw": progress.raw.detach()} | ({} if progress.best is None else {"best": progress.best})
    plain = {name: getattr(progress, name) for name in ("step", "losses", "checks", "chosen", "waited", "stopped")}
    place.mkdir(parents=True, exist_ok=True)
    staged = place / f"{STATE}.partial"
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    save_file(contiguous, staged, {"key": key, "progress": json.dumps(plain)})
    staged.replace(place / STATE)


def resumed(progress: Progress, place: Path, key: str) -> Progress:
    """What an earlier run kept in `place`, else the progress given.

    Raises:
        TargetInUse: what is kept belongs to other models, data or settings.
    """
    from safetensors import safe_open

    if not (place / STATE).exists():
        return progress
    with safe_open(place / STATE, "pt") as file:
        about: Mapping[str, str] = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file is no mapping
    if about["key"] != key:
        fix = "choose another folder, or --force to start anew"
        got = differing(about["key"], key)
        raise TargetInUse("The folder holds another learning that was not finished.", where=place, got=got, fix=fix)
    plain: dict[str, Any] = json.loads(about["progress"])
    with torch.no_grad():
        progress.raw.copy_(tensors["raw"])
    prefix = "optimizer."
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    kept = progress.optimizer.state_dict()
    progress.optimizer.load_state_dict({**kept, "state": {0: state} if state else {}})
    progress.best = tensors.get("best")
    plain["checks"] = [(int(step), float(loss)) for step, loss in plain["checks"]]
    for name, value in plain.items():
        setattr(progress, name, value)
    return progress


def differing(before: str, after: str) -> str:
    """What two keys differ in."""
    old, new = json.loads(before), json.loads(after)
    return "other " + ", ".join(name for name in new if old.get(name) != new[name])
