"""Token merging on a trained ViT with 196 patches, and pooled embeddings on a retrieval toy.

python benchmarks/tokens.py vit [--seeds 0,1,2] [--steps 400]     accuracy and images/s at several r
python benchmarks/tokens.py pages [--seeds 0,1,2] [--steps 500] [--tune 80] [--pages 1000] [--queries 200]
python benchmarks/tokens.py speed                                 images/s of a ViT-S of random weights at 224 pixels
python benchmarks/tokens.py page

Appends leaderboard records of the variant `tokens` to results/leaderboard/beside, from which the claim ledger is
judged; a row that is there is not taken again. Writes results/tokens.json and the tables of docs/tokens.md. Trained
models stay in --work and are not trained again. What is smaller than the numbers above is of size tiny, which claims
do not look at.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokens_pages import GRID, Encoder, Hand, asked, clustered, encoded, fit, fresh
from torch import Tensor

from solera.bench.leaderboard import board
from solera.bench.records import BedRecord, RowRecord, Scored, TaskFacts, append, read
from solera.bench.statistics import Interval
from solera.checkpoints.identity import hasher
from solera.inference.tokens import maxsim, measure_merging, ndcg, pooled_all, pooled_in_rows, pooled_in_squares, pruned
from solera.learn.statistics import Batch
from solera.testbeds.vision import images, network, training
from solera.testbeds.vision.views import View, as_input, as_tensor
from solera.version import __version__

HERE = Path(__file__).parent
BESIDE = HERE / "results" / "leaderboard" / "beside"
FIGURES = HERE / "results" / "tokens.json"
PAGE = HERE.parent / "docs" / "tokens.md"
VARIANT = "tokens"
VIT, PAGES = "vision-196", "pages"
RS: tuple[Any, ...] = (8, 16, 26, 32, (16, -1.0))
FACTORS = (4, 9, 25, 49)
SHAPE = network.Shape(side=28, patch=2, hidden=64, layers=6, heads=4, inner=128)
TASKS = ("rotated", "inverted", "relabelled", "parity")
FULL = {"vit": {"steps": 400}, "pages": {"steps": 500, "tune": 80, "pages": 1000, "queries": 200}}


def size_of(part: str, **said: int) -> str:
    """Whether claims may look at what is measured."""
    return "small" if all(said[name] >= value for name, value in FULL[part].items()) else "tiny"


def records(bed: str) -> Path:
    """The file of rows."""
    return BESIDE / f"{bed}-{VARIANT}.jsonl"


def row(bed: BedRecord, entry: str, scores: Iterable[Scored], **more: Any) -> RowRecord:
    """One row; its details go to the file of figures."""
    facts = {key: getattr(bed, key) for key in ("testbed", "size", "seed", "digest", "variant")}
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return RowRecord(**facts, entry=entry, mode="default", scores=tuple(scores), solera=__version__, time=now, **more)


def note(part: str, rows: Sequence[dict[str, Any]], key: tuple[str, ...]) -> None:
    """Add to the file of figures; of equal keys the newer stays."""
    found = json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {"form": 1}
    new = {tuple(one[k] for k in key) for one in rows}
    old = [one for one in found.get(part, []) if tuple(one[k] for k in key) not in new]
    FIGURES.write_text(json.dumps({**found, part: [*old, *rows]}, indent=1) + "\n", encoding="utf-8")


def said(r: Any) -> str:
    """A reduction in a name: 8, or 16.falling."""
    return str(r) if isinstance(r, int) else f"{r[0]}.falling"


def sources(seed: int) -> dict[images.Part, images.Images]:
    """Digits at 28 x 28, parted as the testbed's."""
    return images.split(images.enlarged(images.digits(), SHAPE.side), seed, 450)


def vit(seed: int, steps: int, work: Path) -> Any:
    """A ViT of 196 patches, trained on four views of digits, or what an earlier call trained."""
    place = work / f"vit-{seed}-{steps}"
    if not (place / "config.json").exists():
        model = network.fresh(SHAPE, seed)
        views = [training.named(task) for task in TASKS]
        schedule = training.Schedule(steps, 1e-3, rows=32, shift=2)
        began = time.process_time()
        training.fit(model, views, sources(seed)["train"], schedule, seed, lambda done, total: told(f"{done}/{total}"))
        network.save(model, place)
        told(f"trained in {time.process_time() - began:.0f} CPU s\n")
    return network.load(place)


def told(text: str) -> None:
    """On one line."""
    sys.stdout.write(f"\r{text}")
    sys.stdout.flush()


def shown(view: View, source: images.Images, rows: int = 64) -> list[Batch]:
    """A task as labelled batches."""
    pixels = as_input(view.show(as_tensor(source.pixels))).contiguous()
    labels = view.label(torch.as_tensor(source.classes))
    return [
        Batch({"pixel_values": some}, right, view.logits)
        for some, right in zip(pixels.split(rows), labels.split(rows), strict=True)
    ]


def digest_of(tensors: Iterable[Tensor]) -> str:
    """Of weights and data."""
    made = hasher()
    for tensor in tensors:
        made.update(tensor.detach().contiguous().numpy().tobytes())
    return str(made.hexdigest())


def run_vit(seed: int, steps: int, work: Path, rounds: int) -> None:
    """All reductions on one trained ViT."""
    size = size_of("vit", steps=steps)
    if any(r.seed == seed and r.size == size for r in read(records(VIT)).rows.values()):
        return
    model = vit(seed, steps, work)
    test = sources(seed)["test"]
    digest = digest_of([*model.state_dict().values(), torch.as_tensor(test.pixels)])
    bed = BedRecord(
        VIT, size, seed, digest, VARIANT, tuple(TaskFacts(t, "accuracy", len(test), expert=t) for t in TASKS)
    )
    found = [measure_merging(model, shown(training.named(task), test), RS, rounds=rounds) for task in TASKS]
    rows, figures = [], []
    for k, one in enumerate(found[0]):
        each = [task[k] for task in found]
        entry = "experts" if one.r == 0 else f"tome.{said(one.r)}"
        scores = [Scored(m.accuracy or 0.0, tuple(map(float, m.right))) for m in each]
        rows.append(row(bed, entry, scores, method="tome", parameters={"r": one.r}))
        speed = sum(m.images_s for m in each) / len(each)
        figures.append({"entry": entry, "seed": seed, "size": size, "left": one.left, "images_s": round(speed, 1)})
    append(records(VIT), [bed, *rows])
    note("vit", figures, ("entry", "seed", "size"))
    for one in rows:
        print(f"{one.entry:16} {100 * sum(s.value for s in one.scores if s) / len(TASKS):.2f}")


def run_speed(rounds: int, batch: int) -> None:
    """Images per second of a ViT-S/16 at 224 pixels: time does not depend on what the weights say."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536)
    torch.manual_seed(0)
    model = ViTForImageClassification(config).eval()
    data = [Batch({"pixel_values": torch.randn(batch, 3, 224, 224)})]
    found = measure_merging(model, data, (8, 13, 16), rounds=rounds)
    key = {"threads": torch.get_num_threads(), "batch": batch}
    rows = [{"r": one.r, "left": one.left, "images_s": round(one.images_s, 2), **key} for one in found]
    note("speed", rows, ("r", "threads", "batch"))
    for one in rows:
        print(one)


def ways(page: Tensor) -> dict[str, Tensor]:
    """A page pooled in every way by every factor; one tree for each linkage."""
    found = {}
    for way in ("rows", "ward"):
        made = pooled_all(page, FACTORS, linkage=way)  # type: ignore[arg-type]
        found |= {f"{way}.{factor}": one for factor, one in zip(FACTORS, made, strict=True)}
    for factor in FACTORS:
        found[f"sequence.{factor}"] = pooled_in_rows(page, factor)
        found[f"squares.{factor}"] = pooled_in_squares(page, int(factor**0.5), columns=GRID)
        found[f"random.{factor}"] = pruned(page, factor, seed=factor)
    return found


def ranked(pages: Sequence[Tensor], queries: Sequence[tuple[int, Tensor]]) -> Scored:
    """nDCG@5 of every query."""
    each = [ndcg(maxsim(query, pages), page) for page, query in queries]
    return Scored(sum(each) / len(each), tuple(each))


def encoder(seed: int, steps: int, work: Path, name: str, start: Encoder, do: Callable[[Encoder], float]) -> Encoder:
    """A trained encoder, or what an earlier call trained."""
    place = work / f"pages-{seed}-{steps}-{name}.pt"
    if place.exists():
        start.load_state_dict(torch.load(place, weights_only=True))
        return start.eval()
    began = time.process_time()
    loss = do(start)
    place.parent.mkdir(parents=True, exist_ok=True)
    torch.save(start.state_dict(), place)
    print(f"{name}: loss {loss:.3f}, {time.process_time() - began:.0f} CPU s")
    return start


def run_pages(seed: int, steps: int, tune: int, pages: int, queries: int, work: Path) -> None:
    """All ways and factors on one trained encoder, and merging in the loop of some more training."""
    size = size_of("pages", steps=steps, tune=tune, pages=pages, queries=queries)
    if any(r.seed == seed and r.size == size for r in read(records(PAGES)).rows.values()):
        return
    hand, draw = Hand.of("train", seed), torch.Generator().manual_seed(seed)
    model = encoder(seed, steps, work, "plain", fresh(seed), lambda m: fit(m, hand, steps, 3e-3, seed))
    test = Hand.of("test", seed)
    searched = [test.page(draw) for _ in range(pages)]
    digest = digest_of([*model.state_dict().values(), *(page.pixels for page in searched)])
    bed = BedRecord(
        PAGES, size, seed, digest, VARIANT, (TaskFacts("retrieval", "ndcg@5", queries, expert="retrieval"),)
    )
    vectors, wanted = encoded(model, searched), asked(model, searched, queries, seed)
    rows = [row(bed, "experts", [ranked(vectors, wanted)], method="late interaction")]
    began = time.process_time()
    pooled = [ways(page) for page in vectors]
    seconds = time.process_time() - began
    rows += [row(bed, name, [ranked([p[name] for p in pooled], wanted)], method=name) for name in pooled[0]]
    for factor in (9, 49):
        twin = fresh(seed)
        twin.load_state_dict(model.state_dict())
        pool = clustered(factor)
        tuned = encoder(
            seed, steps, work, f"tuned-{factor}-{tune}", twin, lambda m, p=pool: more(m, hand, tune, seed, p)
        )
        short = [pool(page) for page in encoded(tuned, searched)]
        scored = ranked(short, asked(tuned, searched, queries, seed))
        rows.append(row(bed, f"tuned.{factor}", [scored], method="ward", parameters={"steps": tune}))
    append(records(PAGES), [bed, *rows])
    took = {"seed": seed, "size": size, "pages": pages, "all_ways_s_per_page": round(seconds / pages, 4)}
    note("pages", [took], ("seed", "size"))
    for one in rows:
        print(f"{one.entry:14} {one.scores[0].value if one.scores[0] else 0:.4f}")


def more(model: Encoder, hand: Hand, steps: int, seed: int, pool: Callable[[Tensor], Tensor]) -> float:
    """Train on, merging in the loop."""
    return fit(model, hand, steps, 1e-3, seed + 50, pool=pool)


def share(value: float) -> str:
    """In percent."""
    return f"{100 * value:.1f}"


def vit_table(figures: dict[str, Any]) -> str:
    """Reductions of the trained ViT."""
    found = board(read(records(VIT)), VIT, "small", VARIANT)
    if found is None:
        return "Not measured yet."
    lines = [
        "| | tokens left of 197 | accuracy, % of the plain model's (95 %) | images/s | seeds |",
        "|---|---|---|---|---|",
    ]
    for line in sorted(found.lines, key=lambda one: -left_of(figures, one.name[0])):
        rows = [one for one in figures["vit"] if one["entry"] == line.name[0] and one["size"] == "small"]
        speed = sum(one["images_s"] for one in rows) / max(1, len(rows))
        name, interval = line.name[0].replace("experts", "plain"), interval_of(line.groups["held-in"])
        lines.append(f"| `{name}` | {left_of(figures, line.name[0])} | {interval} | {speed:.0f} | {len(line.seeds)} |")
    return "\n".join(lines)


def left_of(figures: dict[str, Any], entry: str) -> int:
    """Tokens at the end."""
    return next((one["left"] for one in figures.get("vit", []) if one["entry"] == entry), 0)


def interval_of(found: Interval | None) -> str:
    """A mean with its interval, in percent."""
    return "–" if found is None else f"{share(found.value)} ({share(found.low)} to {share(found.high)})"


def pages_table(figures: dict[str, Any]) -> str:
    """Ways by factors."""
    found = board(read(records(PAGES)), PAGES, "small", VARIANT)
    if found is None:
        return "Not measured yet."
    kept = {line.name[0]: line.groups["held-in"] for line in found.lines}
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in kept if "." in name))
    lines = ["| | " + " | ".join(f"factor {f}" for f in FACTORS) + " |", "|---|" + "---|" * len(FACTORS)]
    for name in names:
        cells = [interval_of(kept.get(f"{name}.{factor}")) for factor in FACTORS]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    plain = [s.value for r in read(records(PAGES)).rows.values() if r.entry == "experts" for s in r.scores if s]
    pages = [one for one in figures.get("pages", []) if one["size"] == "small"]
    seconds = sum(one["all_ways_s_per_page"] for one in pages) / max(1, len(pages))
    lines += ["", f"In % of the plain nDCG@5 ({sum(plain) / len(plain):.3f} on average), {len(found.beds)} seeds."]
    return "\n".join([*lines, f"All ways and factors together: {seconds:.3f} CPU s a page."])


def speed_table(figures: dict[str, Any]) -> str:
    """The larger ViT."""
    rows = figures.get("speed", [])
    if not rows:
        return "Not measured yet."
    plain = {(one["threads"], one["batch"]): one["images_s"] for one in rows if one["r"] == 0}
    lines = ["| r | tokens left of 197 | images/s | faster |", "|---|---|---|---|"]
    for one in rows:
        times = one["images_s"] / plain[one["threads"], one["batch"]]
        lines.append(f"| {one['r']} | {one['left']} | {one['images_s']} | {times:.2f}× |")
    return "\n".join(lines)


def write_page() -> None:
    """Put the tables between their marks in the page."""
    figures = json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {}
    text = PAGE.read_text("utf-8")
    for name, table in (("vit", vit_table), ("pages", pages_table), ("speed", speed_table)):
        mark = re.compile(rf"(<!-- measured {name} -->\n).*?(\n<!-- end {name} -->)", re.DOTALL)
        parts = mark.split(text)
        text = parts[0] + parts[1] + table(figures) + "".join(parts[2:]) if len(parts) > 2 else text
    PAGE.write_text(text, encoding="utf-8")


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("vit", "pages", "speed", "page"))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--tune", type=int, default=80)
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "solera-tokens")
    said = parser.parse_args()
    torch.set_num_threads(1)
    for seed in map(int, said.seeds.split(",")):
        if said.what == "vit":
            run_vit(seed, said.steps or 400, said.work, said.rounds)
        elif said.what == "pages":
            run_pages(seed, said.steps or 500, said.tune, said.pages, said.queries, said.work)
    if said.what == "speed":
        run_speed(said.rounds, said.batch)
    if PAGE.exists():
        write_page()


if __name__ == "__main__":
    main()
