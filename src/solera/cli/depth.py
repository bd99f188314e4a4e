"""learn depth: which layers of a model to merge, from what they do on data; the result is a recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli.options import AsJson
from solera.cli.shown import guarded, rows, say, say_json

if TYPE_CHECKING:
    from solera.app.depth import Folding
    from solera.learn.statistics import Batch
    from solera.types import ModelRef

RECIPE, DROPPED, RECORD = "recipe.yaml", "dropped.yaml", "depth.json"


@guarded
def depth(
    model: Annotated[str, typer.Argument(help="A folder or Hub id.", show_default=False)],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for recipes and measurements.", show_default=False)],
    data: Annotated[
        list[str] | None,
        typer.Option(help="As for `learn statistics`; several are taken together.", show_default=False),
    ] = None,
    ratio: Annotated[float | None, typer.Option(help="Share of the layers that goes.", show_default=False)] = None,
    remove: Annotated[int | None, typer.Option(help="Or how many layers go.", show_default=False)] = None,
    pairs: Annotated[str, typer.Option(help="Merge the most `similar` neighbours, or always the `last` two.")] = (
        "similar"
    ),
    alpha: Annotated[
        str, typer.Option(help="Share of the lower layer: similarity, sigmoid, or a number; 1 drops the upper one.")
    ] = "similarity",
    norms: Annotated[str, typer.Option(help="Norms of a merged layer: the `first` one's, or the `average`.")] = "first",
    samples: Annotated[int, typer.Option(min=1, help="Examples at most, of each --data.")] = 256,
    batch: Annotated[int, typer.Option(min=1, help="Examples in one forward pass.")] = 8,
    length: Annotated[int, typer.Option(min=1, help="Tokens of an example at most.")] = 512,
    testbed_size: Annotated[str, typer.Option(help="Size of the testbed that data is taken from.")] = "small",
    testbed_seed: Annotated[int, typer.Option(help="Its seed.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of built testbeds; default the user's.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace recipes that are there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Choose layers to merge by how alike they are on data (MKA); the result is a recipe.

    solera learn depth MODEL --data texts.jsonl --ratio 0.25 -o thin
    solera merge thin/recipe.yaml OUT

    thin/dropped.yaml drops the same layers instead of merging them. Measurements are kept beside the recipes and are
    not taken again for another ratio.
    """
    from solera.app.depth import check_folding, fold_layers
    from solera.checkpoints.reference import parse_ref
    from solera.recipe.text import scalar_of

    _claim(out, force=force)
    ref, share = _placed(parse_ref(model)), scalar_of(alpha)
    chosen: Any = {"ratio": ratio, "remove": remove, "pairs": pairs, "alpha": share, "norms": norms}
    check_folding(ref, **chosen)
    _measure(ref, _batches(ref, data or [], (samples, batch, length), (testbed_size, testbed_seed, cache)), out, data)
    found = fold_layers(ref, out, **chosen)
    _write(found, out)
    if as_json:
        say_json({**found.to_json(), "recipe": str(out / RECIPE), "dropped": str(out / DROPPED)})
    else:
        say(_told(found, out))


def _claim(out: Path, *, force: bool) -> None:
    from solera.errors import TargetInUse

    if (out / RECIPE).exists() and not force:
        raise TargetInUse("There is a recipe already.", where=out / RECIPE, fix="name another folder, or pass --force")


def _placed(ref: ModelRef) -> ModelRef:
    """A folder by its whole path, so that the recipe holds anywhere."""
    return replace(ref, path=str(Path(ref.path).resolve())) if Path(ref.path).exists() else ref


def _batches(
    ref: ModelRef, data: list[str], cut: tuple[int, int, int], testbed: tuple[str, int, Path | None]
) -> list[Batch]:
    from solera.cli.calibration import batches_of
    from solera.errors import BadParameter
    from solera.learn.statistics import Cut

    if not data:
        fix = "solera learn depth MODEL --data texts.jsonl --ratio 0.25 -o FOLDER"
        raise BadParameter("There is no calibration data.", want="--data", fix=fix)
    return [batch for name in data for batch in batches_of(name, ref, Cut(*cut), testbed)]


def _measure(ref: ModelRef, batches: list[Batch], out: Path, data: list[str] | None) -> None:
    from solera.app.depth import STATISTIC
    from solera.learn.statistics import measure

    measure(ref, batches, [STATISTIC], out, data=" ".join(data or []))


def _write(found: Folding, out: Path) -> None:
    import json

    from solera.recipe import to_yaml

    texts = {RECIPE: to_yaml(found.recipe), DROPPED: to_yaml(found.dropped)}
    texts[RECORD] = json.dumps(found.to_json(), indent=1) + "\n"
    for name, text in texts.items():
        staged = out / f"{name}.partial"
        staged.write_text(text, encoding="utf-8")
        staged.replace(out / name)


def _told(found: Folding, out: Path) -> str:
    lines = [
        f"layers {_span(one.lower)} and {_span(one.upper)}: similarity {one.similarity:.3f}, share {one.share:.3f}"
        for one in found.merges
    ]
    table = {
        "layers": f"{found.layers} -> {len(found.folds)}",
        "examples": found.samples,
        "recipe": out / RECIPE,
        "dropped": out / DROPPED,
    }
    return "\n".join([*lines, rows(table)])


def _span(layers: tuple[int, ...]) -> str:
    return str(layers[0]) if len(layers) == 1 else f"{layers[0]}-{layers[-1]}"
