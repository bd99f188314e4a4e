"""Read what built testbeds know of themselves into results/testbeds.json: digests, times, gates, ceilings, kinship.

    python benchmarks/testbeds.py                     testbeds of the user's cache
    python benchmarks/testbeds.py --beside FOLDER     and of another cache: every testbed in both is compared
    python benchmarks/testbeds.py --build             and of a fresh cache, built now (half an hour on two cores)

Nothing is trained or measured here, but for `--build`: manifests are read, and every file is held to its digest. Where
a testbed is in both caches, figures and times are those of the second, and a row says whether the two are equal.
`testbeds_page.py` makes docs/testbeds.md of it (`make docs`).
"""

from __future__ import annotations

import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, is_dataclass
from math import prod
from pathlib import Path
from statistics import mean
from typing import Any

from solera import testbeds
from solera.testbeds.cache import SIZES, Stored, stored
from solera.testbeds.contract import Built

RESULT = Path(__file__).parent / "results" / "testbeds.json"
TIMES = ("cpu", "cpu_seconds")
"""Facts of a build that differ from one to the next."""
Row = dict[str, Any]


def current(cache: Path | None) -> dict[tuple[str, str, int], Stored]:
    """(name, size, seed) -> testbed in a cache, of the versions that are built today."""
    known = {name: testbeds.testbed(name).version for name in testbeds.names()}
    found = {(s.name, s.size, s.seed): s for s in stored(cache) if known.get(s.name) == s.version}
    return dict(sorted(found.items(), key=lambda item: (list(known).index(item[0][0]), *item[0][1:])))


def of(this: Stored) -> Row:
    """One built testbed: its manifest in the words of the page. Its files are held to their digests first."""
    built = testbeds.open_built(this.name, size=this.size, seed=this.seed, cache=this.folder.parent)
    made = json.loads((this.folder / "testbed.json").read_text("utf-8"))["built"]
    facts = built.facts
    return {
        "testbed": built.name, "size": built.size, "seed": built.seed, "version": this.version,
        "digest": built.digest, "built": made["time"], "machine": made["machine"], "versions": made["versions"],
        "seconds": made["seconds"], "cpu": stages(facts), "bytes": size_of(this.folder),
        "models": {g: len(getattr(built, g)) for g in ("experts", "adapters", "extras")},
        "parameters": parameters(built.base), "data": facts.get("data"), "tasks": tasks(built),
        "gate": gate(built), "scores": scores(facts), "kin": kin(facts.get("geometry")),
        **{key: facts[key] for key in ("shape", "hidden", "paths", "accuracy") if key in facts},
        **({"loads": loads(facts)} if "mixtral" in facts else {}),
    }  # fmt: skip


def size_of(folder: Path) -> int:
    """Bytes of all files below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def parameters(folder: Path) -> int:
    """Numbers in a model, from the headers of its files."""
    return sum(prod(t["shape"]) for path in sorted(folder.glob("*.safetensors")) for t in header(path))


def header(path: Path) -> Iterator[Mapping[str, Any]]:
    """Tensors of a safetensors file, as its header has them."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        found = json.loads(file.read(length))
    return (row for name, row in found.items() if name != "__metadata__")


def stages(facts: Mapping[str, Any]) -> dict[str, float]:
    """Processor seconds of a build's stages, by the first part of their names.

    Example:
        >>> stages({"cpu": {"base": 1.0, "scratch/a": 2.0, "scratch/b": 3.0}})
        {'base': 1.0, 'scratch': 5.0}
    """
    each = next((facts[key] for key in TIMES if key in facts), {})
    found: dict[str, float] = {}
    for name, seconds in each.items():
        if name != "all" or len(each) == 1:
            group = name.split("/")[0]
            found[group] = round(found.get(group, 0.0) + seconds, 1)
    return found


def tasks(built: Built) -> dict[str, Row]:
    """Task -> metric, items of both splits, and which kind it is of."""
    splits = {split: {t.name: t for t in testbeds.tasks(built, split)} for split in ("validation", "test")}
    return {
        name: {"metric": task.metric, "group": task.group, "test": task.items,
               "validation": splits["validation"][name].items if name in splits["validation"] else 0}
        for name, task in splits["test"].items()
    }  # fmt: skip


def gate(built: Built) -> dict[str, Row]:
    """Figures of the gate with bounds and verdicts, as today's code judges what the builder measured."""
    from solera.testbeds.gate import judged
    from solera.testbeds.language import facts as language
    from solera.testbeds.language import lm
    from solera.testbeds.seeds import making
    from solera.testbeds.vision import figures

    found = built.facts
    if built.size == "tiny" or built.name == "moe-8":
        return dict(found.get("gate", {}))
    if built.name == "vision-8":
        return judged(figures.gate(found))
    if built.name == "seeds-4":
        return judged(making.judged(found))
    return language.gate(built.name, found, lm.LEAST if (built.name, built.size) == ("lm-6", "small") else None)


def scores(facts: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """base, average, expert, ceiling: task -> points. Empty where no experts were trained from a base."""
    if "average" not in facts:
        return {}
    own = {task: row[task] if isinstance(row, dict) else row for task, row in facts["experts"].items()}
    ceiling = facts.get("ceilings", facts.get("ceiling", {}))
    found = {"base": facts["base"], "average": facts["average"], "expert": own, "ceiling": ceiling}
    found |= {"adapter": facts["adapters"]} if "adapters" in facts else {}
    return {line: {task: round(row[task], 2) for task in own if task in row} for line, row in found.items()}


def kin(geometry: Mapping[str, Any] | None) -> Row:
    """How task vectors stand to each other. Ranks are shares of the full one, of two definitions (see `of`)."""
    if geometry is None:
        return {}
    cosines, names = geometry["cosines"], list(geometry["norms"])
    off = [cosines[i][j] for i in range(len(names)) for j in range(i)]
    relative = geometry.get("relative") or {n: x / geometry["base_norm"] for n, x in geometry["norms"].items()}
    rank = geometry.get("rank") or {n: x / geometry["full_rank"] for n, x in geometry["effective_ranks"].items()}
    return {
        "norms": _rounded(geometry["norms"]),
        "relative": _rounded(relative),
        "rank": _rounded(rank),
        "rank of": "singular values" if "effective_ranks" in geometry else "squared singular values",
        "cosine": {"least": round(min(off), 4), "mean": round(mean(off), 4), "most": round(max(off), 4)},
        "nearest": {name: _nearest(names, cosines[i], i) for i, name in enumerate(names)},
        "conflict": round(geometry.get("conflict", geometry.get("sign_conflict")), 4),
    }


def _nearest(names: list[str], row: list[float], own: int) -> list[Any]:
    at = max((j for j in range(len(row)) if j != own), key=lambda j: row[j])
    return [names[at], round(row[at], 4)]


def _rounded(found: Mapping[str, float]) -> dict[str, float]:
    return {name: round(x, 4) for name, x in found.items()}


def loads(facts: Mapping[str, Any]) -> dict[str, Row]:
    """Of a mixture of experts: points by task, and the least and greatest share of tokens that an expert gets."""
    each = {kind: row for kind, row in facts.items() if isinstance(row, dict) and "load" in row}
    shares = {kind: [x for layer in row["load"] for x in layer] for kind, row in each.items()}
    return {k: {"scores": row["scores"], "load": [min(shares[k]), max(shares[k])]} for k, row in each.items()}


def twice(one: Stored, two: Stored) -> Row:
    """Two builds of a testbed, compared: digests, and everything that was measured but times and the gate."""
    first, second = (json.loads((s.folder / "testbed.json").read_text("utf-8")) for s in (one, two))
    measured = [{k: v for k, v in m["facts"].items() if k not in (*TIMES, "gate")} for m in (first, second)]
    return {
        "testbed": one.name, "size": one.size, "seed": one.seed,
        "digests": [first["digest"], second["digest"]], "equal": first["digest"] == second["digest"],
        "facts equal": measured[0] == measured[1],
        "built": [m["built"]["time"] for m in (first, second)],
        "seconds": [m["built"]["seconds"] for m in (first, second)],
        "cpu": [round(sum(stages(m["facts"]).values()), 1) for m in (first, second)],
    }  # fmt: skip


def kinds() -> dict[str, Row]:
    """Every kind of testbed: what it is, and its three sizes as the code has them."""
    from solera.testbeds.language.moe_stages import SIZES as MOE
    from solera.testbeds.language.sizes import SIZES as LM
    from solera.testbeds.language.text_sizes import SIZES as TEXT
    from solera.testbeds.seeds.making import PLANS as SEEDS
    from solera.testbeds.vision.making import PLANS as VISION

    plans: dict[str, Mapping[Any, Any]] = {
        "vision-8": VISION, "text-6": TEXT, "lm-6": {s: make() for s, make in LM.items()}, "moe-8": MOE,
        "seeds-4": SEEDS,
    }  # fmt: skip
    return {name: _kind(name, plans[name]) for name in testbeds.names()}


def _kind(name: str, plans: Mapping[Any, Any]) -> Row:
    kind = testbeds.testbed(name)
    assert all(is_dataclass(plan) for plan in plans.values())
    return {
        "about": kind.about, "version": kind.version, "family": kind.family,
        "minutes": {size: kind.minutes[size] for size in SIZES}, "bytes": {size: kind.nbytes[size] for size in SIZES},
        "plans": {size: asdict(plans[size]) for size in SIZES},
    }  # fmt: skip


def records(cache: Path | None, beside: Path | None) -> Row:
    """Everything, as results/testbeds.json holds it."""
    first, second = current(cache), current(beside) if beside else {}
    both = [key for key in first if key in second]
    return {
        "kinds": kinds(),
        "records": [of(s) for s in {**first, **second}.values()],
        "twice": [twice(first[key], second[key]) for key in both],
    }


def build(folder: Path, name: str = "all", size: str = "small") -> Path:
    """Build testbeds of seed 0 into a fresh cache; the folder of its testbeds."""
    program = Path(sys.executable).with_name("solera")
    words = [program, "testbed", "build", name, "--size", size]
    done = subprocess.run(words, check=False, env={**os.environ, "SOLERA_CACHE": str(folder)})
    if done.returncode:
        raise SystemExit(done.returncode)
    return folder / "testbeds"


def main(arguments: Iterable[str] | None = None) -> None:
    """Write the records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="folder of testbeds; default: the user's cache")
    parser.add_argument("--beside", type=Path, help="another one, to compare with")
    parser.add_argument("--build", action="store_true", help="build all of size small into a fresh cache for that")
    parser.add_argument("--out", type=Path, default=RESULT)
    options = parser.parse_args(None if arguments is None else list(arguments))
    with tempfile.TemporaryDirectory() as fresh:
        beside = build(Path(fresh)) if options.build else options.beside
        found = records(options.cache, beside)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{len(found['records'])} testbeds, {len(found['twice'])} built twice: {options.out}")
    if unequal := [f"{r['testbed']} {r['seed']}" for r in found["twice"] if not (r["equal"] and r["facts equal"])]:
        raise SystemExit(f"built twice and not equal: {', '.join(unequal)}")


if __name__ == "__main__":
    main()
