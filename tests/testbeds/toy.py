"""A testbed of three small files, built by the real stages: what holds for it holds for all."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

from solera.errors import RunError
from solera.testbeds.contract import Testbed
from solera.testbeds.making import Made, declare
from solera.testbeds.stages import Stage, run

MODELS = ("b", "a", "c")


def write(out: Path, tell, *, seed: int, log: str, trouble: str = "", rate: float = 1.0) -> dict[str, int]:
    """One model folder; `log` gets the stage's name, so that a test sees what was done how often."""
    with Path(log).open("a") as file:
        file.write(out.name.partition(".")[0] + "\n")
    tell(1, 2)
    (out / "config.json").write_text(json.dumps({"seed": seed, "rate": rate}))
    if trouble == "stop":
        raise KeyboardInterrupt
    if trouble == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    if trouble == "large":
        (out / "weights").write_bytes(bytes(1 << 20))
    if trouble == "gate":
        raise RunError("the testbed toy misses its quality gate.", got="1", want=">= 2")
    if trouble == "sleep":
        time.sleep(60)
    tell(2, 2)
    return {"process": os.getpid()}


def make(
    folder: Path, size: str, seed: int, listener, *, log: str, trouble=None, workers=1, rates=None, models=MODELS
) -> None:
    trouble, rates = trouble or {}, rates or {}
    done = {}
    for group in (("base",), models):
        options = {n: {"seed": seed, "log": log, "trouble": trouble.get(n, "")} for n in group}
        stages = [Stage(n, write, {**options[n], "rate": rates.get(n, 1.0)}) for n in group]
        done |= run(folder, stages, listener, title=group[0], workers=workers if len(group) > 1 else 1)
    facts = {"time": time.time(), "processes": [done[n].facts["process"] for n in models]}
    declare(folder, Made("base", {n: n for n in models}, extras={"same": "a"}, facts=facts))


def toy(log: Path, *, version: int = 1, nbytes: int = 0, settings=None, **options) -> Testbed:
    def made(folder, size, seed, listener):
        make(folder, size, seed, listener, log=str(log), **options)

    return Testbed(
        "toy",
        "three files",
        made,
        lambda folder: folder,
        lambda _built, _split: (),
        version=version,
        nbytes={"tiny": nbytes},
        settings=settings,
    )
