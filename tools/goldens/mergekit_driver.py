"""Runs inside the foreign environment: many recipes, one process.

Reads a job as JSON on stdin and writes one JSON line per case on stdout. Only the entry
points that the foreign project documents for users are called.
"""

import contextlib
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge
from safetensors.numpy import save_file
from safetensors.torch import load_file


def merge(recipe: Path, out: Path, seed: int | None = None) -> None:
    """Merge one recipe document into `out`."""
    with recipe.open(encoding="utf-8") as stream:
        config = MergeConfiguration.model_validate(yaml.safe_load(stream))
    options = MergeOptions(copy_tokenizer=True, write_model_card=False, quiet=True, random_seed=seed)
    run_merge(config, out_path=str(out), options=options)


def one(case: dict) -> dict:
    """Run one deterministic case and say how it ended."""
    try:
        merge(Path(case["recipe"]), Path(case["out"]))
    except Exception as error:  # noqa: BLE001 - the caller reports every failed case
        return {"name": case["name"], "error": f"{type(error).__name__}: {error}"}
    return {"name": case["name"], "error": None}


def moments(case: dict) -> dict:
    """Run one random case over many seeds; keep mean and variance of every element."""
    total, square = {}, {}
    out, seeds = Path(case["out"]), case["seeds"]
    for seed in range(seeds):
        merge(Path(case["recipe"]), out, seed + 1)
        for key, value in load_file(out / "model.safetensors").items():
            x = value.to(torch.float64).numpy()
            total[key] = total.get(key, 0.0) + x
            square.setdefault(key, []).append(x)
    stored = {}
    for key, runs in square.items():
        stored["mean/" + key] = (total[key] / seeds).astype(np.float32)
        stored["variance/" + key] = np.var(np.stack(runs), axis=0, ddof=1).astype(np.float32)
    save_file(stored, case["moments"])
    return {"name": case["name"], "error": None}


def main() -> None:
    """Answer each job line; everything else the foreign code prints goes to stderr."""
    job = json.load(sys.stdin)
    os.chdir(job["inputs"])
    answers = [{"version": version("mergekit"), "torch": version("torch")}]
    with contextlib.redirect_stdout(sys.stderr):
        answers += [one(case) for case in job["cases"]]
        answers += [moments(case) for case in job["random"]]
    for answer in answers:
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
