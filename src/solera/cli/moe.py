"""moe merge, prune, upcycle, inspect and methods: the experts within a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from solera.cli.card_pages import origin, show_cards
from solera.cli.inline import split_words
from solera.cli.moe_measuring import Measuring, statistics_of
from solera.cli.options import AsJson, Memory, memory_bytes
from solera.cli.progress import display
from solera.cli.shown import guarded, rows, say, say_json, warn

if TYPE_CHECKING:
    from solera.app import Upcycle
    from solera.app.moe_report import ExpertReport
    from solera.methods.moe.cards import ExpertCard

app = typer.Typer(no_args_is_help=True, help="Merge or prune the experts of a model, or make one of dense models.")

Words = Annotated[
    list[str],
    typer.Argument(help="A mixture of experts (folder or Hub id); then options of the method.", metavar="MODEL"),
]
Out = Annotated[Path, typer.Option("-o", "--out", help="The target folder.", show_default=False)]
Experts = Annotated[str, typer.Option(help="That every layer keeps: a number, or a share such as 0.5.")]
Data = Annotated[
    str | None,
    typer.Option(
        help="To measure with: a .jsonl or .txt file, datasets:NAME[:SPLIT], or testbed:NAME/TASK.", show_default=False
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(help="Statistics of the model, by kind; with --data, where they are kept.", show_default=False),
]
TopK = Annotated[
    int | None, typer.Option("--top-k", help="Experts for a token; default: as it is.", show_default=False)
]
Samples = Annotated[int, typer.Option(min=1, help="Examples at most.")]
Batch = Annotated[int, typer.Option(min=1, help="Examples in one forward pass.")]
Length = Annotated[int, typer.Option(min=1, help="Tokens of an example at most.")]
Dtype = Annotated[str | None, typer.Option(help="Of the output; default: every tensor's own.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Measure and group; write nothing.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a target that is not empty.")]
_COLLECT = {"ignore_unknown_options": True}


@app.command("merge", context_settings=_COLLECT)
@guarded
def merge(
    words: Words,
    *,
    out: Out,
    experts: Experts = "0.5",
    method: Annotated[str, typer.Option(help="m_smoe or hc_smoe; see `solera moe methods`.")] = "m_smoe",
    router: Annotated[
        str, typer.Option(help="Rows of merged experts: mean, leader, or every (all rows and slots stay).")
    ] = "mean",
    data: Data = None,
    statistics: Folder = None,
    top_k: TopK = None,
    samples: Samples = 256,
    batch: Batch = 8,
    length: Length = 512,
    memory: Memory = None,
    dtype: Dtype = None,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Merge the experts of every layer into fewer.

    solera moe merge MODEL -o OUT --experts 4 --data texts.jsonl
    solera moe merge MODEL -o OUT --method hc_smoe --experts 0.5 --statistics MEASURED --router every

    Options that are not listed are parameters of the method.
    """
    measuring = Measuring(data, statistics, samples, batch, length, memory)
    wanted = _wanted(words, method, experts, router, top_k, dtype)
    _done("merge", wanted, out, measuring, force=force, dry_run=dry_run, as_json=as_json)


@app.command("prune", context_settings=_COLLECT)
@guarded
def prune(
    words: Words,
    *,
    out: Out,
    experts: Experts = "0.5",
    method: Annotated[str, typer.Option(help="See `solera moe methods`.")] = "reap",
    data: Data = None,
    statistics: Folder = None,
    top_k: TopK = None,
    samples: Samples = 256,
    batch: Batch = 8,
    length: Length = 512,
    memory: Memory = None,
    dtype: Dtype = None,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Leave out the experts of every layer that add least, with their rows of the router.

    solera moe prune MODEL -o OUT --experts 6 --data texts.jsonl --score reap

    Options that are not listed are parameters of the method.
    """
    measuring = Measuring(data, statistics, samples, batch, length, memory)
    wanted = _wanted(words, method, experts, "mean", top_k, dtype)
    _done("prune", wanted, out, measuring, force=force, dry_run=dry_run, as_json=as_json)


@app.command("upcycle", context_settings=_COLLECT)
@guarded
def upcycle(
    words: Annotated[
        list[str],
        typer.Argument(
            help="Dense models, one for each expert; or one mergekit-moe YAML. Then options of the method.",
            metavar="MODEL...",
        ),
    ],
    *,
    out: Out,
    base: Annotated[
        str | None, typer.Option(help="Gives all but the MLPs; default: the first model.", show_default=False)
    ] = None,
    gate: Annotated[
        str | None,
        typer.Option(help="hidden, hidden_avg, mlp_input, cheap_embed, random or uniform_random.", show_default=False),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="YAML or JSON: prompts of every expert; see docs/moe.md.", show_default=False)
    ] = None,
    top_k: Annotated[int | None, typer.Option("--top-k", help="Experts for a token; default 2.")] = None,
    memory: Memory = None,
    dtype: Dtype = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check; write nothing.")] = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Make a mixture of experts of dense models: Mixtral of Llama and Mistral, Qwen3-MoE of Qwen3.

    solera moe upcycle MATH CODE --base BASE --prompts prompts.yaml -o OUT
    solera moe upcycle config.yaml -o OUT

    Options that are not listed are parameters of the method: noise, residual_scale, seed.
    """
    from solera.app import moe_upcycle, upcycle_check
    from solera.cli.moe_words import upcycle_of

    def check(asked: Upcycle) -> None:
        upcycle_check(asked, None if dry_run else out, force=force)

    wanted = upcycle_of(split_words(words), base, gate, prompts, top_k, dtype, memory_bytes(memory), check)
    with display(silent=as_json) as listener:
        report = moe_upcycle(wanted, out, force=force, dry_run=dry_run, on_event=listener)
    say_json(report.to_json()) if as_json else say(_summary(report))


@app.command("inspect")
@guarded
def inspect(
    model: Annotated[str, typer.Argument(help="A mixture of experts.", show_default=False)],
    *,
    statistics: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Say what experts a model has; with statistics of it, how they are used and what they add."""
    from solera.app import moe_inspect
    from solera.plan.explain import size

    found = moe_inspect(model, statistics)
    if as_json:
        say_json(found)
        return
    shown = {**found, "bytes": size(found["bytes"]), "expert_bytes": size(found["expert_bytes"])}
    say(rows({name: value for name, value in shown.items() if name not in ("usage", "reap")}))
    for name in ("usage", "reap"):
        if name in found:
            say(f"{name}, by layer")
            lines = {str(layer): " ".join(f"{value:.3g}" for value in each) for layer, each in found[name].items()}
            say(rows(lines))


@app.command("methods")
@guarded
def methods(
    name: Annotated[str | None, typer.Argument(help="Show one card whole.", show_default=False)] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List the methods for experts, or show one."""
    from solera.methods.moe.cards import expert_card, expert_cards

    cards = [expert_card(name)] if name else list(expert_cards().values())
    show_cards(cards, _facts, one=bool(name), as_json=as_json, line=lambda card: f"{card.verb}: {card.summary}")


def _facts(card: ExpertCard) -> dict[str, object]:
    return {"command": f"solera moe {card.verb}", **origin(card)}


def _wanted(words: Sequence[str], method: str, experts: str, router: str, top_k: int | None, dtype: str | None) -> Any:
    from solera.app import ExpertMerge
    from solera.errors import BadParameter, RecipeError, nearest
    from solera.recipe.text import scalar_of

    found = split_words(words)
    if len(found.names) != 1:
        raise RecipeError("One model is wanted.", got=" ".join(found.names) or "none", want="a mixture of experts")
    count = scalar_of(experts)
    if type(count) not in (int, float):
        raise BadParameter("`experts` is not usable.", got=experts, want="a whole number, or a share in (0, 1)")
    if router not in (known := ("mean", "leader", "every")):
        raise BadParameter("`router` is not usable.", got=router, want=", ".join(known), fix=nearest(router, known))
    parameters = {name: scalar_of(text) for name, text in found.options.items()}
    chosen: Any = router
    return ExpertMerge(found.names[0], method, count, None, parameters, chosen, top_k, dtype)


def _done(
    verb: Any, wanted: Any, out: Path, measuring: Measuring, *, force: bool, dry_run: bool, as_json: bool
) -> None:
    from dataclasses import replace

    from solera.app import moe_check, moe_merge, moe_prune

    moe_check(wanted, verb, None if dry_run else out, force=force)
    run = moe_merge if verb == "merge" else moe_prune
    with display(silent=as_json) as listener, statistics_of(wanted, measuring, listener) as folder:
        report = run(replace(wanted, statistics=folder), out, force=force, dry_run=dry_run, on_event=listener)
    if as_json:
        say_json(report.to_json())
        return
    say(_summary(report))
    for note in report.warnings:
        warn(note)


def _summary(report: ExpertReport) -> str:
    from solera.plan.explain import size

    before, after = report.experts
    shape = f"{report.layers} layers with {after} experts" + (f" of {before}" if before else "")
    shared = f" ({size(report.distinct)} where equal slots are held once)" if report.distinct != report.bytes else ""
    if not report.written:
        return (
            f"would write {shape}, {report.top} for a token, {size(report.bytes)}{shared}\n{_groups(report)}".rstrip()
        )
    return (
        f"{report.out}: {shape}, {report.top} for a token, {size(report.bytes)}{shared} in {report.seconds:.1f} s\n"
        f"{_groups(report)}digest {report.digest}"
    )


def _groups(report: ExpertReport) -> str:
    """Which experts became one, layer by layer."""
    lines = [
        f"  layer {layer}: " + " | ".join("+".join(map(str, members)) for members in groups)
        for layer, groups in report.groups.items()
    ]
    return "\n".join([*lines, ""]) if lines else ""
