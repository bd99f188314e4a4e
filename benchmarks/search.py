"""Searches on the testbeds: do optimizers beat random search, does a front dominate, what do estimators save?

python benchmarks/search.py PART... [--evaluations 60] [--seeds 5] [--workers 2] [--out benchmarks/results/search.json]

Parts: optimizers, front, estimators, racing, speed, layers (once lm-6 is built). Every part is kept in the results file
as it goes; logs of searches lie in --scratch, from which a stopped run goes on.
Search seed s stands on testbed seed s mod --beds. Validation items choose, test items are reported.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from solera import testbeds
from solera.cli.grounds import BedSource
from solera.recipe.values import Merge, Operand, Recipe
from solera.search.calibrating import Estimated, around
from solera.search.contract import Job, Outcome, Setup
from solera.search.irt.estimators import NAMES
from solera.search.irt.scoring import calibrate
from solera.search.layers import Layers
from solera.search.merging import Merging
from solera.search.objectives import dominates, hypervolume, objective
from solera.search.ranges import Wish, genes_for
from solera.search.running import Machine, Settings, search
from solera.search.working import Worker
from solera.types import ModelRef

BED = "vision-8"
PIXELS = "permuted+rotated+inverted"
LABELS = "parity+large+prime+relabelled+coarse"
REPLICATES = 2000
TUNED = 150
"""Steps by which the narrow models differ."""


def source_of(seed: int, model: str | None = None, bed: str = BED) -> BedSource:
    """A built testbed of size small."""
    built = testbeds.open_built(bed, size="small", seed=seed)
    return BedSource(bed, "small", seed, None, model or str(built.base))


def recipe_of(seed: int, method: str, values: Mapping[str, Any] | None = None) -> Recipe:
    """All experts of a testbed by one method."""
    built = testbeds.open_built(BED, size="small", seed=seed)
    models = tuple(Operand(ModelRef(str(folder))) for folder in built.experts.values())
    base = None if method == "linear" else ModelRef(str(built.base))
    return Recipe(Merge(method, models, base=base, parameters=dict(values or {})))


def problem_of(seed: int, method: str = "task_arithmetic", over: str = "global", high: float | None = None) -> Merging:
    """One weight for each expert (and layer), from 0 to `high` (None: the usual range)."""
    wish = Wish("weight", None if high is None else 0.0, high)
    return Merging(genes_for(recipe_of(seed, method), [wish], over))


def interval(gaps: Sequence[float]) -> dict[str, float]:
    """Mean, and the 95 % interval of a bootstrap over seeds."""
    draws = np.random.default_rng(0).choice(np.asarray(gaps), (REPLICATES, len(gaps))).mean(1)
    low, high = np.quantile(draws, [0.025, 0.975])
    return {"mean": statistics.fmean(gaps), "low": float(low), "high": float(high), "n": len(gaps)}


def run(
    args: argparse.Namespace, name: str, seed: int, problem: Any, settings: Settings, **more: Any
) -> dict[str, Any]:
    """One search; its log stays."""
    out = args.scratch / name
    source = more.get("source") or source_of(seed % args.beds)
    began = time.perf_counter()
    done = search(problem, source, out, settings, machine=Machine(args.workers, 1), resume=out.exists())
    report = done.report
    objectives = report["objectives"]
    row = {
        "name": name, "seed": seed, "bed": seed % args.beds, "genes": report["genes"],
        "evaluations": report["evaluations"],
        "items": report["items"], "calibration_items": report["calibration_items"], "curve": report["curve"],
        "wall_s": round(time.perf_counter() - began, 1), "seconds": report["seconds"], "front": report["front"],
    }  # fmt: skip
    for kind in ("start", "best"):
        row[kind] = {split: {o: report[kind][split][o] for o in objectives} for split in ("validation", "test")}
    print(json.dumps({"name": name, "best": row["best"], "wall_s": row["wall_s"]}), flush=True)
    return row


def optimizers(args: argparse.Namespace) -> dict[str, Any]:
    """CMA-ES, TPE and random search with equal evaluations, on one gene per expert and on one per expert and layer."""
    found: dict[str, Any] = {"evaluations": args.evaluations, "rows": []}
    for over in args.genes.split(","):
        for seed in range(args.seeds):
            for name in args.only.split(","):
                settings = Settings(name, args.evaluations, seed=seed)
                problem = problem_of(seed % args.beds, over=over, high=args.high)
                upto = problem.space.axes[0].high
                row = run(args, f"{over}-{name}-{args.evaluations}-{upto:g}-{seed}", seed, problem, settings)
                found["rows"].append({**row, "optimizer": name, "over": over, "high": upto})
                keep(args, "optimizers", {**found, "gaps": gaps(found["rows"])})
    return {**found, "gaps": gaps(found["rows"])}


def gaps(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How much better than random search, in points, paired by seed."""
    table = {(row["over"], row["optimizer"], row["seed"]): row for row in rows}
    made: dict[str, Any] = {}
    for over in dict.fromkeys(row["over"] for row in rows):
        for name in ("cmaes", "tpe"):
            seeds = [s for (o, n, s) in table if (o, n) == (over, name) and (over, "random", s) in table]
            for split in ("validation", "test"):
                pairs = [(table[over, name, s], table[over, "random", s]) for s in seeds]
                differences = [100 * (a["best"][split]["mean"] - b["best"][split]["mean"]) for a, b in pairs]
                if differences:
                    made[f"{name} - random, {over}, {split}"] = {**interval(differences), "each": differences}
    return made


def front(args: argparse.Namespace) -> dict[str, Any]:
    """NSGA-II on two groups of tasks; which single recipes does its front dominate?"""
    rows = []
    for seed in range(min(args.seeds, args.beds)):
        objectives = (PIXELS, LABELS)
        settings = Settings("nsga2", 2 * args.evaluations, objectives=objectives, seed=seed)
        row = run(args, f"front-{2 * args.evaluations}-{seed}", seed, problem_of(seed), settings)
        row["singles"] = list(singles(seed, objectives))
        for split in ("validation", "test"):
            points = [[each[split][name] for name in objectives] for each in row["front"]]
            beaten = [any(dominates(point, single[split]) for point in points) for single in row["singles"]]
            above = [any(dominates(single[split], point) for point in points) for single in row["singles"]]
            row[split] = {
                "dominated": sum(beaten), "dominating": sum(above), "singles": len(beaten), "front": len(points),
                "volume": hypervolume(points, (0.5, 0.5)),
                "volume of singles": hypervolume([single[split] for single in row["singles"]], (0.5, 0.5)),
            }  # fmt: skip
            print(split, row[split], flush=True)
        rows.append(row)
        keep(args, "front", {"rows": rows})
    return {"rows": rows}


def singles(seed: int, objectives: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Merges that one would try by hand."""
    worker = worker_of(problem_of(seed), seed)
    tries = [("linear", {})]
    tries += [("task_arithmetic", {"lambda": value}) for value in (0.1, 0.125, 0.15, 0.2, 0.3, 0.4)]
    tries += [("ties", {"lambda": value}) for value in (0.5, 1.0, 1.5)]
    for method, values in tries:
        from solera.search.working import merged

        merged(worker.ground, recipe_of(seed, method, values), 1)
        row: dict[str, Any] = {"method": method, "parameters": values}
        for split in ("validation", "test"):
            outcome = worker._scored(worker.ground.module, Job((), split=split), 0.0)  # noqa: SLF001
            row[split] = [objective(name, list(outcome.scores)).of(outcome.scores) for name in objectives]
        yield row


def worker_of(problem: Any, seed: int, source: BedSource | None = None) -> Worker:
    """This process at work."""
    torch.set_num_threads(1)
    return Worker(Setup(source or source_of(seed), problem))


def estimators(args: argparse.Namespace) -> dict[str, Any]:
    """Errors of estimators on merges of the testbed, by the number of anchors; and a search that goes by one."""
    rows = []
    for seed in range(min(3, args.beds)):
        problem = problem_of(seed)
        worker = worker_of(problem, seed)
        parents = [worker.run(Job(problem.space.start, each=True, parent=k)) for k in range(len(problem.parents))]
        drawn = [worker.run(Job(g, each=True)) for g in around(problem.space, 24 + 40, seed)]
        fitted_on, truth = parents + drawn[:24], drawn[24:]
        for dimensions in (1, 4, 8):
            for how in ("random", "clusters"):
                for anchors in (5, 10, 20, 50):
                    rows += list(errors(seed, fitted_on, truth, len(parents), anchors, dimensions, how))
        keep(args, "estimators", {"rows": rows, "items": truth[0].items})
        print(seed, len(rows), flush=True)
    return {"rows": rows, "items": truth[0].items}


def errors(
    seed: int,
    fitted_on: Sequence[Outcome],
    truth: Sequence[Outcome],
    parents: int,
    anchors: int,
    dimensions: int,
    how: Any,
) -> Iterator[dict[str, Any]]:
    """Mean error of the estimated mean accuracy, in points, and the rank correlation with the true one."""
    from scipy.stats import spearmanr

    for name in NAMES:
        made = calibrate(
            name, [o.each for o in fitted_on], parents, anchors, dimensions=dimensions, how=how, seed=seed
        )  # fmt: skip
        asked = [Outcome({}, each={t: [o.each[t][p] for p in made.anchors[t].places] for t in o.each}) for o in truth]
        guessed = [statistics.fmean(made.of(o).values()) for o in asked]
        true = [statistics.fmean(o.scores.values()) for o in truth]
        gap = [100 * abs(a - b) for a, b in zip(guessed, true, strict=True)]
        yield {
            "seed": seed, "estimator": name, "anchors": anchors, "dimensions": dimensions, "how": how,
            "error": statistics.fmean(gap), "rank": float(spearmanr(guessed, true)[0]), "candidates": len(true),
        }  # fmt: skip


def racing(args: argparse.Namespace) -> dict[str, Any]:
    """CMA-ES on all items, in races, and on estimates: what is found, and how many items are scored."""
    rows = []
    ways: dict[str, dict[str, Any]] = {
        "all items": {},
        "race 1/4, 1/2, 1": {"shares": (0.25, 0.5, 1.0)},
        "mean of 20 items": {"estimated": Estimated("mean", 20, calibration=0)},
        "gmp-irt, 20 items": {"estimated": Estimated("gmp-irt", 20)},
    }
    for seed in range(args.seeds):
        for way, more in ways.items():
            settings = Settings("cmaes", args.evaluations, seed=seed, **more)
            name = f"race-{args.evaluations}-{''.join(c for c in way if c.isalnum())}-{seed}"
            if way == "all items":  # the search of the part `optimizers`
                name = f"global-cmaes-{args.evaluations}-0.5-{seed}"
            rows.append({**run(args, name, seed, problem_of(seed % args.beds), settings), "way": way})
            keep(args, "racing", {"rows": rows})
    return {"rows": rows}


def speed(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds to make and to score a candidate, after warm-up; the best of several, since the machine is shared."""
    del args
    rows = []
    for method in ("linear", "task_arithmetic", "dare_linear", "ties"):
        problem = problem_of(0, method)
        worker = worker_of(problem, 0)
        outcomes = [worker.run(Job(genome)) for genome in around(problem.space, 12, 0)][2:]
        merge, score = (min(getattr(o, name) for o in outcomes) for name in ("merge_s", "score_s"))
        ratios = [(o.merge_s + o.score_s) / o.score_s for o in outcomes]
        rows.append({
            "method": method, "merge_ms": 1e3 * merge, "score_ms": 1e3 * score, "ratio": (merge + score) / score,
            "median_ratio": statistics.median(ratios),
        })  # fmt: skip
        print(rows[-1], flush=True)
    return {"rows": rows}


def tune(folder: Path, task: str) -> None:
    """The narrow model of lm-6, trained a little further on one task."""
    from solera.testbeds.language.lm_stages import stream, tokenizer_of
    from solera.testbeds.language.models import load_causal, save
    from solera.testbeds.language.sizes import sizes
    from solera.testbeds.language.training import Training, train

    torch.set_num_threads(1)
    built = testbeds.open_built("lm-6", size="small", seed=0)
    model, tokenizer = load_causal(built.extras["narrow"]), tokenizer_of(built.folder / "data")
    asked = sizes("small").jobs[task].asked
    batches = stream(tokenizer, lambda _step: asked, 32, f"0/narrow/{task}")
    train(model, batches, Training(steps=TUNED, rate=1e-3, batch=32), lambda _step, _loss: None)
    folder.mkdir(parents=True, exist_ok=True)
    save(model, tokenizer, folder)


def layers(args: argparse.Namespace) -> dict[str, Any]:
    """Paths through two narrow models of lm-6, tuned on sorting (the first, and the better by far) and on language."""
    tuned = {task: args.scratch / f"narrow-{task}" for task in ("sorting", "language")}
    for task, folder in tuned.items():
        if not (folder / "config.json").exists():
            tune(folder, task)
    models = tuple(ModelRef(str(folder)) for folder in tuned.values())
    rows = []
    for scales in ("none", "layer"):
        for seed in range(args.seeds):
            problem = Layers(models, repeats=1, scales=scales)  # type: ignore[arg-type]
            settings = Settings("cmaes", args.evaluations, objectives=("language+sorting",), seed=seed)
            source = source_of(0, models[0].path, "lm-6")
            row = run(args, f"paths-{scales}-{args.evaluations}-{seed}", 0, problem, settings, source=source)
            worker = worker_of(problem, 0, source)
            for k, name in enumerate(tuned):
                outcome = worker.run(Job(problem.space.start, split="test", parent=k))
                row[f"{name} alone, test"] = objective("language+sorting", list(outcome.scores)).of(outcome.scores)
            rows.append({**row, "scales": scales})
            keep(args, "layers", {"rows": rows})
    return {"rows": rows}


def keep(args: argparse.Namespace, part: str, found: Mapping[str, Any]) -> None:
    """Put a part into the results file."""
    old = json.loads(args.out.read_text("utf-8")) if args.out.exists() else {}
    old[part] = {"date": time.strftime("%Y-%m-%d"), **found}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(rounded(old), indent=1) + "\n", encoding="utf-8")


def rounded(value: Any) -> Any:
    """Numbers to six digits."""
    if isinstance(value, float):
        return value if math.isnan(value) else float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, (list, tuple)) else value


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "optimizers": optimizers, "front": front, "estimators": estimators, "racing": racing, "speed": speed,
    "layers": layers,
}  # fmt: skip


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=[*PARTS])
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--beds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--high", type=float, help="end of the range of weights")
    parser.add_argument("--only", default="cmaes,random,tpe", help="optimizers")
    parser.add_argument("--genes", default="global,layer")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "solera-search")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "search.json")
    args = parser.parse_args()
    for part in args.parts:
        keep(args, part, PARTS[part](args))


if __name__ == "__main__":
    main()
