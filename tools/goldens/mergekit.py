"""Write the stored results of mergekit for the parity corpus.

    python tools/goldens/mergekit.py --mergekit-bin ENV/bin

ENV is an environment of its own with mergekit installed from the package index; nothing
of it is imported here. Every recipe in tests/parity/cases runs there on the models of
tests/parity/inputs.py; outputs land in tests/parity/goldens.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PARITY = Path(__file__).resolve().parents[2] / "tests" / "parity"
GOLDENS = PARITY / "goldens"
SEEDS = 200
LIMIT = 4_000_000  # bytes stored in all
sys.path.insert(0, str(PARITY))

import inputs  # noqa: E402
import outputs  # noqa: E402


def run_documents(python: Path, job: dict[str, Any]) -> list[dict[str, Any]]:
    """Run all single-document cases in one foreign process and return its answers."""
    driver = Path(__file__).with_name("mergekit_driver.py")
    env = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    done = subprocess.run(  # -P: this folder must not shadow the foreign package
        [python, "-P", driver], input=json.dumps(job), capture_output=True, text=True, env=env, check=False
    )
    if done.returncode:
        sys.exit(f"the foreign process failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def run_multi(command: Path, recipe: Path, out: Path, models: Path) -> dict[str, Any]:
    """Run one recipe of several documents and say how it ended."""
    spool = out.parent / (out.name + ".stages")
    line = [command, recipe, "--out-path", out, "-I", spool, "--no-write-model-card", "--quiet"]
    env = os.environ | {"HF_HUB_OFFLINE": "1"}
    done = subprocess.run(line, cwd=models, capture_output=True, text=True, env=env, check=False)
    return {"name": recipe.stem, "error": done.stderr.strip().splitlines()[-1] if done.returncode else None}


def record(out: Path) -> dict[str, Any]:
    """Return what a test compares beside the tensors."""
    row: dict[str, Any] = {"config": outputs.config_fields(out)}
    if "tokenizer" in out.name or "chat_template" in out.name:
        row["tokens"] = outputs.token_ids(out)
        template = outputs.chat_template(out)
        row["rendered"] = None if template is None else outputs.render(template)
    return row


def store(names: list[str], work: Path, head: dict[str, Any]) -> None:
    """Copy tensors and write goldens.json."""
    shutil.rmtree(GOLDENS, ignore_errors=True)
    GOLDENS.mkdir()
    cases = {}
    for name in names:
        shutil.copyfile(work / name / "model.safetensors", GOLDENS / f"{name}.safetensors")
        cases[name] = record(work / name)
    for path in sorted(work.glob("*.moments")):
        shutil.copyfile(path, GOLDENS / f"random_{path.stem}.safetensors")
    text = json.dumps(head | {"cases": cases}, indent=1, sort_keys=True, ensure_ascii=False)
    (GOLDENS / "goldens.json").write_text(text + "\n", encoding="utf-8")


def job_of(models: Path, work: Path, recipes: list[Path], random: list[Path]) -> dict[str, Any]:
    """Return what the driver must do."""
    single = [p for p in recipes if not p.stem.startswith("multi_")]
    return {
        "inputs": str(models),
        "cases": [{"name": p.stem, "recipe": str(p), "out": str(work / p.stem)} for p in single],
        "random": [
            {
                "name": p.stem,
                "recipe": str(p),
                "out": str(work / f"random_{p.stem}"),
                "moments": str(work / f"{p.stem}.moments"),
                "seeds": SEEDS,
            }
            for p in random
        ],
    }


def main() -> None:
    """Run every case; refuse to store anything when one fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mergekit-bin", type=Path, required=True, help="folder with python and mergekit-multi")
    bin_dir = parser.parse_args().mergekit_bin
    recipes, random = sorted((PARITY / "cases").glob("*.yaml")), sorted((PARITY / "cases/random").glob("*.yaml"))
    with tempfile.TemporaryDirectory() as tmp:
        models, work = inputs.build(Path(tmp) / "models"), Path(tmp) / "work"
        work.mkdir()
        head, *answers = run_documents(bin_dir / "python", job_of(models, work, recipes, random))
        multi = [p for p in recipes if p.stem.startswith("multi_")]
        answers += [run_multi(bin_dir / "mergekit-multi", p, work / p.stem, models) for p in multi]
        failed = [f"{a['name']}: {a['error']}" for a in answers if a["error"]]
        if failed:
            sys.exit("failed cases, nothing stored:\n" + "\n".join(failed))
        store([p.stem for p in recipes], work, {"mergekit": head["version"], "torch": head["torch"], "seeds": SEEDS})
    size = sum(f.stat().st_size for f in GOLDENS.iterdir())
    print(f"{len(recipes)} cases, {len(random)} random ones, {size:,} bytes in {GOLDENS.name}/")
    if size > LIMIT:
        sys.exit(f"stored results exceed {LIMIT:,} bytes")


if __name__ == "__main__":
    main()
