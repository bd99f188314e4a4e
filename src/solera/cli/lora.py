"""lora merge, extract, inspect and methods: adapters in, adapter out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli.card_pages import origin, show_cards
from solera.cli.inline import split_words
from solera.cli.options import AsJson, Plugins, load_plugins
from solera.cli.progress import display
from solera.cli.shown import guarded, rows, say, say_json

if TYPE_CHECKING:
    from solera.app.adapter_report import AdapterReport
    from solera.methods.lora.cards import AdapterCard

app = typer.Typer(no_args_is_help=True, help="Merge LoRA adapters, extract one from a fine-tuned model, look at them.")

Words = Annotated[
    list[str],
    typer.Argument(help="Adapters (PEFT folders or Hub ids); then options of the method.", metavar="ADAPTER..."),
]
Out = Annotated[Path, typer.Option("-o", "--out", help="The target folder.", show_default=False)]
Rank = Annotated[str, typer.Option(help="A number, a share of the energy such as 0.95, exact, or auto.")]
MaxRank = Annotated[int | None, typer.Option(help="Never more than this.", show_default=False)]
Dtype = Annotated[str | None, typer.Option(help="Of the factors; default: as the inputs.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check, and say what would be written; write nothing.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a target that is not empty.")]


@app.command("merge", context_settings={"ignore_unknown_options": True})
@guarded
def merge(
    words: Words,
    *,
    out: Out,
    method: Annotated[
        str, typer.Option(help="sum, core_space, knots or full_space; see `solera lora methods`.")
    ] = "sum",
    inner: Annotated[
        str | None,
        typer.Option(help="What merges in the space, of `solera methods`; name:variant.", show_default=False),
    ] = None,
    rank: Rank = "exact",
    max_rank: MaxRank = None,
    base: Annotated[
        str | None, typer.Option(help="The model they are for; checks that they fit.", show_default=False)
    ] = None,
    saved: Annotated[str, typer.Option(help="Whole tensors that adapters save: average, first or error.")] = "average",
    dtype: Dtype = None,
    seed: Annotated[int, typer.Option(help="For inner methods that draw numbers.", min=0)] = 0,
    dry_run: DryRun = False,
    force: Force = False,
    plugin: Plugins = None,
    as_json: AsJson = False,
) -> None:
    """Merge adapters into one, without making dense matrices.

    solera lora merge A B C -o OUT --weight 0.5,0.3,0.2 --rank 16
    solera lora merge A B C -o OUT --method core_space --inner ties --density 0.3

    Options that are not listed are parameters of the method or of its inner method.
    """
    load_plugins(plugin)
    from solera.app import AdapterMerge, lora_merge

    found = split_words(words)
    outer, inside = _parted(method, {name: _value(text) for name, text in found.options.items()})
    wanted = AdapterMerge(
        adapters=found.names, method=method, parameters=outer, inner=_inner(method, inner, inside), rank=rank,
        max_rank=max_rank, base=base,
        saved=_one_of("saved", saved, ("average", "first", "error")), dtype=dtype, seed=seed,
    )  # fmt: skip
    with display(silent=as_json) as listener:
        report = lora_merge(wanted, out, force=force, dry_run=dry_run, on_event=listener)
    say_json(report.to_json()) if as_json else say(_summary(report))


@app.command("extract")
@guarded
def extract(
    model: Annotated[str, typer.Argument(help="A fine-tuned model; base+adapter is allowed.", show_default=False)],
    *,
    base: Annotated[str, typer.Option(help="The model that it was tuned from.", show_default=False)],
    out: Out,
    rank: Rank = "32",
    max_rank: MaxRank = None,
    dtype: Annotated[str | None, typer.Option(help="Of the factors; default: the base's.", show_default=False)] = None,
    embeddings: Annotated[str, typer.Option(help="factor, save (whole) or skip.")] = "factor",
    others: Annotated[str, typer.Option(help="Norms and biases that changed: save (whole) or skip.")] = "save",
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Extract an adapter from a fine-tuned model: truncated SVD of every matrix's change, tensor by tensor."""
    from solera.app import Extraction, lora_extract

    wanted = Extraction(
        model, base, rank, max_rank, dtype, _one_of("embeddings", embeddings, ("factor", "save", "skip")),
        _one_of("others", others, ("save", "skip")),
    )  # fmt: skip
    with display(silent=as_json) as listener:
        report = lora_extract(wanted, out, force=force, dry_run=dry_run, on_event=listener)
    say_json(report.to_json()) if as_json else say(_summary(report))


@app.command("inspect")
@guarded
def inspect(
    adapters: Annotated[list[str], typer.Argument(help="PEFT folders or Hub ids.", show_default=False)],
    *,
    as_json: AsJson = False,
) -> None:
    """Say what adapters hold, and how alike their changes are."""
    from solera.app import lora_inspect

    found = lora_inspect(adapters)
    if as_json:
        say_json(found)
        return
    for row in found["adapters"]:
        say(rows({name: _shown(value) for name, value in row.items() if value not in ("", [], None)}) + "\n")
    if len(adapters) > 1:
        say("cosines of the whole changes")
        for name, line in zip(adapters, found["cosines"], strict=True):
            say("  " + " ".join(f"{cosine:6.3f}" for cosine in line) + f"  {name}")


@app.command("methods")
@guarded
def methods(
    name: Annotated[str | None, typer.Argument(help="Show one card whole.", show_default=False)] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List the methods for adapters, or show one."""
    from solera.methods.lora.cards import adapter_card, adapter_cards

    cards = [adapter_card(name)] if name else list(adapter_cards().values())
    show_cards(cards, _facts, one=bool(name), as_json=as_json)


def _facts(card: AdapterCard) -> dict[str, object]:
    return {"inner": card.inner, **origin(card)}


def _parted(method: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of the method for adapters, and those of its inner method."""
    from solera.methods.lora.cards import adapter_card

    card = adapter_card(method)
    outer = {name: value for name, value in options.items() if not card.inner or card.parameter(name) is not None}
    return outer, {name: value for name, value in options.items() if name not in outer}


def _inner(method: str, inner: str | None, parameters: Mapping[str, Any]) -> Any:
    from solera.methods.lora.cards import adapter_card
    from solera.methods.lora.inner import MethodRef

    named = inner or (adapter_card(method).inner if parameters else "")
    if not named:
        return None
    name, _, variant = named.partition(":")
    return MethodRef(name, parameters, variant or None)


def _value(text: str) -> Any:
    """A number, a truth, a word, or several with commas: one for each adapter."""
    from solera.recipe.text import scalar_of

    return tuple(scalar_of(part.strip()) for part in text.split(",")) if "," in text else scalar_of(text)


def _one_of(name: str, value: str, known: Sequence[str]) -> Any:
    from solera.errors import BadParameter, nearest

    if value not in known:
        raise BadParameter(f"`{name}` is not usable.", got=value, want=", ".join(known), fix=nearest(value, known))
    return value


def _shown(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else value


def _summary(report: AdapterReport) -> str:
    from solera.plan.explain import size

    least, most = report.ranks
    ranks = f"rank {most}" if least == most else f"ranks {least} to {most}"
    whole = f", {len(report.saved)} whole tensors" if report.saved else ""
    if not report.written:
        left = f"; {len(report.left_out)} tensors have no place in it" if report.left_out else ""
        return f"would write {len(report.modules)} modules, at most {ranks}{whole}, {size(report.bytes)}{left}"
    return (
        f"{report.out}: {len(report.modules)} modules, {ranks}{whole}, {size(report.bytes)} in {report.seconds:.1f} s; "
        f"the rank left out {100 * report.error:.3g} % of the change\ndigest {report.digest}"
    )
