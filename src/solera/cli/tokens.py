"""tokens bench, tokens pool: fewer tokens inside a vision model, fewer vectors for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli.options import AsJson
from solera.cli.shown import guarded, rows, say, say_json

if TYPE_CHECKING:
    from solera.inference.tokens.measuring import Measured
    from solera.inference.tokens.schedule import Reduction
    from solera.learn.statistics import Batch
    from solera.types import ModelRef

app = typer.Typer(no_args_is_help=True, help="Merge tokens of vision models, and pool embeddings of pages.")


@app.command("bench")
@guarded
def bench(
    model: Annotated[str, typer.Argument(help="A vision model: a folder or Hub id.", show_default=False)],
    *,
    data: Annotated[
        str, typer.Option(help="A folder of images (folders in it are classes), or testbed:NAME/TASK.")
    ] = "",
    r: Annotated[str, typer.Option("--r", help="Tokens that each layer merges away; several, with commas.")] = "4,8,16",
    inflection: Annotated[
        float, typer.Option(help="-1 merges most in the first layers, 1 in the last, 0 equally.")
    ] = 0.0,
    plain_attention: Annotated[
        bool, typer.Option("--plain-attention", help="Attention counts merged tokens once: for MAE models.")
    ] = False,
    samples: Annotated[int, typer.Option(min=1, help="Images at most.")] = 256,
    batch: Annotated[int, typer.Option(min=1, help="Images in one forward pass.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Passes over the images; the fastest counts.")] = 3,
    part: Annotated[str, typer.Option(help="Of a testbed: train, validation or test.")] = "test",
    testbed_size: Annotated[str, typer.Option(help="Size of the testbed.")] = "small",
    testbed_seed: Annotated[int, typer.Option(help="Its seed.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of built testbeds; default the user's.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure token merging (ToMe): accuracy, answers that stay the same, tokens, images per second.

    solera tokens bench MODEL --data images/ --r 4,8,16
    solera tokens bench MODEL --data testbed:vision-8/rotated --r 1,2,3
    """
    from solera.checkpoints.reference import parse_ref
    from solera.cli.progress import display
    from solera.inference.tokens.measuring import measure_merging
    from solera.learn.statistics.loading import load_model
    from solera.types import Event

    ref, wanted = parse_ref(model), _reductions(r, inflection)
    fed = _batches(data, ref, samples, batch, (part, testbed_size, testbed_seed, cache))
    with display(silent=as_json) as listener:

        def tell(done: int, total: int) -> None:
            listener(Event("progress", "passes", done=done, total=total, unit="passes"))

        found = measure_merging(
            load_model(ref), fed, wanted, proportional=not plain_attention, rounds=rounds, tell=tell
        )
    images = sum(each.size for each in fed)
    if as_json:
        say_json({"model": str(ref), "data": data, "images": images, "rows": [_plain(one) for one in found]})
    else:
        say(_table(found))


def _reductions(text: str, inflection: float) -> list[Reduction]:
    """Numbers of tokens, each with the inflection if there is one.

    Raises:
        BadParameter: a number is none, or below 1: the plain model is measured anyway.
    """
    from solera.errors import BadParameter

    found: list[Reduction] = []
    for word in text.split(","):
        if not word.strip().isdigit() or int(word) < 1:
            raise BadParameter("`--r` is not usable.", got=text, want="whole numbers above 0, with commas")
        found.append((int(word), float(inflection)) if inflection else int(word))
    return found


def _batches(
    data: str, ref: ModelRef, samples: int, batch: int, testbed: tuple[str, str, int, Path | None]
) -> Sequence[Batch]:
    from solera import testbeds
    from solera.cli.calibration import batches_of, bed_and_task, testbed_batches
    from solera.cli.coefficients import part_of
    from solera.errors import BadParameter
    from solera.learn.statistics import Cut
    from solera.testbeds.cache import known_size

    part, size, seed, cache = testbed
    if not data:
        raise BadParameter("There are no images.", want="--data", fix="--data images/, or --data testbed:NAME/TASK")
    cut = Cut(samples, batch)
    if not data.startswith("testbed:"):
        return batches_of(data, ref, cut, (size, seed, cache))
    bed, task = bed_and_task(data.removeprefix("testbed:"))
    built = testbeds.open_built(bed, size=known_size(size), seed=seed, cache=cache)
    return testbed_batches(built, task, cut, part_of(part))


def _plain(one: Measured) -> dict[str, Any]:
    return {name: value for name, value in asdict(one).items() if name != "right"}


def _table(found: Sequence[Measured]) -> str:
    first = found[0].images_s
    lines = [f"{'r':>10}  {'tokens left':>11}  {'accuracy':>8}  {'same':>6}  {'images/s':>9}  {'faster':>6}"]
    for one in found:
        right = "–" if one.accuracy is None else f"{100 * one.accuracy:.2f}"
        r = f"{one.r[0]} ({one.r[1]:+g})" if isinstance(one.r, tuple) else str(one.r)
        lines.append(
            f"{r:>10}  {one.left:>11}  {right:>8}  {100 * one.agreement:>6.2f}  {one.images_s:>9.1f}  "
            f"{one.images_s / first:>5.2f}x"
        )
    return "\n".join(lines)


@app.command("pool")
@guarded
def pool(
    source: Annotated[
        Path, typer.Argument(help="A safetensors file: each tensor the vectors of one page.", show_default=False)
    ],
    target: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    *,
    factor: Annotated[int, typer.Option(help="How many vectors become one, on average.")] = 9,
    way: Annotated[
        str, typer.Option(help="rows (as colpali-engine clusters), ward, sequence, or random pruning.")
    ] = "rows",
    as_json: AsJson = False,
) -> None:
    """Pool the embeddings of pages, page by page (Light-ColPali); queries and scoring stay as they are.

    solera tokens pool pages.safetensors pooled.safetensors --factor 9
    """
    from solera.inference.tokens.stored import pool_file

    done = pool_file(source, target, factor, way=way)
    if as_json:
        say_json({**asdict(done), "path": str(done.path)})
        return
    share = done.bytes_after / done.bytes_before
    vectors = f"{done.before} -> {done.after}"
    say(rows({"pages": done.pages, "vectors": vectors, "bytes": f"{share:.1%} of before", "target": done.path}))
