"""learn statistics, learn coefficients: what merges can use, measured and learnt with data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli.options import AsJson, Memory, memory_bytes, split
from solera.cli.shown import guarded, rows, say, say_json, warn

if TYPE_CHECKING:
    from solera.learn.statistics import Batch, Measurement
    from solera.types import ModelRef

app = typer.Typer(no_args_is_help=True, help="Measure and learn what merges can use: statistics, coefficients.")


@app.command("statistics")
@guarded
def statistics(
    models: Annotated[list[str], typer.Argument(help="A folder or Hub id; several for one merge.", show_default=False)],
    *,
    kinds: Annotated[str, typer.Option(help="fisher,gram,...: see docs/statistics.md.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder; of several models, one folder in it for each.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="A .jsonl or .txt file, a folder of images, datasets:NAME[:SPLIT], or testbed:NAME/TASK. "
            "One for all models, or one for each in order.",
            show_default=False,
        ),
    ] = None,
    optimizer: Annotated[
        Path | None, typer.Option(help="optimizer.pt or its folder, for second_moment.", show_default=False)
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Examples at most.")] = 256,
    batch: Annotated[int, typer.Option(min=1, help="Examples in one forward pass.")] = 8,
    length: Annotated[int, typer.Option(min=1, help="Tokens of an example at most.")] = 512,
    seed: Annotated[int, typer.Option(min=0, help="Of labels that are drawn.")] = 0,
    off_diagonal: Annotated[float, typer.Option(min=0, max=1, help="For merged_gram: as the merge has it.")] = 0.95,
    testbed_size: Annotated[str, typer.Option(help="Size of the testbed that data is taken from.")] = "small",
    testbed_seed: Annotated[int, typer.Option(help="Its seed.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of built testbeds; default the user's.", show_default=False)
    ] = None,
    memory: Memory = None,
    as_json: AsJson = False,
) -> None:
    """Measure statistics of models; what is there for the same model and data is kept."""
    from solera.checkpoints.reference import parse_ref
    from solera.cli.calibration import batches_of
    from solera.learn.statistics import Cut

    wanted = _kinds(kinds)
    refs = [parse_ref(model) for model in models]
    folders = _folders(refs, out)
    cut = Cut(samples, batch, length)
    named = _per_model(data or [], len(refs), needed=wanted != ["second_moment"])
    fed = [
        batches_of(name, ref, cut, (testbed_size, testbed_seed, cache)) for name, ref in zip(named, refs, strict=False)
    ]
    found = _moments(refs, folders, optimizer) if "second_moment" in wanted else []
    found += _merged(refs, fed, folders, named, off_diagonal, silent=as_json) if "merged_gram" in wanted else []
    passed = [kind for kind in wanted if kind not in ("second_moment", "merged_gram")]
    found += _measured(refs, fed, folders, named, passed, memory_bytes(memory), seed, silent=as_json) if passed else []
    _show(found, as_json=as_json)


@app.command("coefficients")
@guarded
def coefficients(
    recipe: Annotated[
        Path | None,
        typer.Argument(help="Models and their base; default: all experts of --testbed.", show_default=False),
    ] = None,
    *,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for recipe and artefact.")],
    method: Annotated[str, typer.Option(help="A learner: see `solera learn list`.")] = "adamerging",
    granularity: Annotated[
        str | None, typer.Option(help="One coefficient per task, layer or tensor.", show_default=False)
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="As for `learn statistics`; one for each model, in order.", show_default=False),
    ] = None,
    testbed: Annotated[str, typer.Option(help="Take inputs of this testbed's tasks.", show_default=False)] = "",
    part: Annotated[str, typer.Option(help="Of the testbed: train, validation or test.")] = "train",
    testbed_size: Annotated[str, typer.Option(help="Size of the testbed.")] = "small",
    testbed_seed: Annotated[int, typer.Option(help="Its seed.")] = 0,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of built testbeds; default the user's.", show_default=False)
    ] = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Examples of a task at most.", show_default=False)] = None,
    length: Annotated[int, typer.Option(min=1, help="Tokens of an example at most.")] = 512,
    steps: Annotated[int | None, typer.Option(help="Of the optimizer.", show_default=False)] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate.", show_default=False)] = None,
    init: Annotated[float | None, typer.Option(help="Where coefficients start.", show_default=False)] = None,
    batch: Annotated[int | None, typer.Option(help="Examples in one batch.", show_default=False)] = None,
    seed: Annotated[int | None, typer.Option(help="Of the order of examples.", show_default=False)] = None,
    heads: Annotated[str | None, typer.Option(help="merged, or own: every task its expert's.")] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many checks without a better loss.", show_default=False)
    ] = None,
    held_out: Annotated[
        float | None, typer.Option(help="Check on this share of the examples.", show_default=False)
    ] = None,
    keep: Annotated[str | None, typer.Option(help="Coefficients of the last step, or the best check.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Any other setting: NAME=VALUE.", show_default=False)
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(help="Roles or names that keep the base's values; `nothing`.", show_default=False),
    ] = None,
    dtype: Annotated[str, typer.Option(help="In which the model runs.")] = "float32",
    device: Annotated[str, typer.Option(help="On which it runs.")] = "cpu",
    recompute: Annotated[bool, typer.Option("--recompute", help="Compute activations twice, hold them once.")] = False,
    memory: Memory = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a target that is not empty.")] = False,
    as_json: AsJson = False,
) -> None:
    """Learn a merge's coefficients on data without labels; the result is a recipe.

    solera learn coefficients recipe.yaml --data a.jsonl --data b.jsonl -o learnt
    solera learn coefficients --testbed vision-8 --part test --method adamerging --granularity tensor -o learnt
    solera merge learnt/recipe.yaml OUT

    A run that was stopped goes on with the same command.
    """
    from solera.cli import coefficients as learning
    from solera.cli.progress import display
    from solera.learn.coefficients import learn
    from solera.learn.coefficients.learning import DEFAULT_MEMORY

    asked = learning.Asked(
        recipe, tuple(data or ()), testbed, testbed_size, testbed_seed, learning.part_of(part), cache, samples, length
    )
    own = {"granularity": granularity, "steps": steps, "rate": rate, "init": init, "batch": batch, "seed": seed}
    own |= {"heads": heads, "patience": patience, "held_out": held_out, "keep": keep}
    more = {"memory": memory_bytes(memory) or DEFAULT_MEMORY, "dtype": dtype, "device": device, "recompute": recompute}
    changes, frozen = learning.settings_of(setting or [], own), learning.matches_of(freeze or [])
    job = learning.job_of(asked, method, changes, out, frozen=frozen, **more)
    with display(silent=as_json) as listener:
        result = learn(job, on_event=listener, force=force)
    if as_json:
        say_json(learning.as_plain(result))
    else:
        say(learning.as_lines(result))


@app.command("list")
@guarded
def listed(
    name: Annotated[
        str | None, typer.Argument(help="A learner; without it, all are listed.", show_default=False)
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List what learns coefficients, or show one in full."""
    from solera.cli import coefficients as learning
    from solera.learn.coefficients.learners import LEARNERS, learner

    cards = [learner(name)] if name else list(LEARNERS.values())
    if as_json:
        plain = [learning.card_plain(card) for card in cards]
        say_json(plain[0] if name else plain)
    else:
        say(learning.card_in_full(cards[0]) if name else learning.card_lines(cards))


def _kinds(text: str) -> list[str]:
    from solera.checkpoints.statistics import known_kind

    return [known_kind(name).name for name in split(text)]


def _folders(refs: Sequence[ModelRef], out: Path) -> list[Path]:
    """`out` itself for one model; a folder in it for each of several, by the last part of its name."""
    if len(refs) == 1:
        return [out]
    names = [Path(ref.path).name + "".join(f"+{Path(lora.path).name}" for lora in ref.loras) for ref in refs]
    return [
        out / (name if names.count(name) == 1 else f"{name}-{names[:i].count(name) + 1}")
        for i, name in enumerate(names)
    ]


def _per_model(data: Sequence[str], models: int, *, needed: bool) -> list[str]:
    from solera.errors import BadParameter

    if not data and needed:
        fix = "solera learn statistics MODEL --data texts.jsonl --kinds fisher -o FOLDER"
        raise BadParameter("There is no calibration data.", want="--data", fix=fix)
    if len(data) not in (0, 1, models):
        raise BadParameter("Every model needs its own data.", got=f"{len(data)} for {models} models")
    return list(data) * models if len(data) == 1 else list(data)


def _moments(refs: Sequence[ModelRef], folders: Sequence[Path], optimizer: Path | None) -> list[Measurement]:
    from solera.errors import BadParameter
    from solera.learn.statistics import measure_moments

    if optimizer is None or len(refs) != 1:
        want = "one model, and --optimizer checkpoint-1000"
        raise BadParameter("`second_moment` is read from an optimizer's checkpoint.", want=want)
    return [measure_moments(refs[0], optimizer, folders[0])]


def _merged(
    refs: Sequence[ModelRef],
    fed: Sequence[list[Batch]],
    folders: Sequence[Path],
    named: Sequence[str],
    off_diagonal: float,
    *,
    silent: bool,
) -> list[Measurement]:
    from solera.cli.progress import display
    from solera.learn.statistics import measure_through_merged

    with display(silent=silent) as listener:
        return measure_through_merged(refs, fed, folders, named=named, off_diagonal=off_diagonal, on_event=listener)


def _measured(
    refs: Sequence[ModelRef],
    fed: Sequence[list[Batch]],
    folders: Sequence[Path],
    named: Sequence[str],
    kinds: Sequence[str],
    memory: int | None,
    seed: int,
    *,
    silent: bool,
) -> list[Measurement]:
    from solera.cli.progress import display
    from solera.learn.statistics import measure
    from solera.learn.statistics.passes import DEFAULT_MEMORY

    found = []
    with display(silent=silent) as listener:
        for ref, batches, folder, name in zip(refs, fed, folders, named, strict=True):
            limit = memory or DEFAULT_MEMORY
            found.append(measure(ref, batches, kinds, folder, data=name, memory=limit, seed=seed, on_event=listener))
    return found


def _show(found: Sequence[Measurement], *, as_json: bool) -> None:
    if as_json:
        say_json([_plain(one) for one in found])
        return
    for one in found:
        table = {kind: f"{path}  {'was there' if kind in one.known else ''}" for kind, path in one.files.items()}
        say(rows({**table, **({"passes": one.passes} if one.passes else {})}))
        for note in one.notes:
            warn(note)


def _plain(one: Measurement) -> dict[str, Any]:
    from dataclasses import asdict

    from solera.checkpoints.statistics import open_statistics

    manifests = {kind: asdict(open_statistics(path).manifest) for kind, path in one.files.items()}
    for manifest in manifests.values():
        manifest.pop("sites")
    return {**asdict(one), "manifests": manifests}
