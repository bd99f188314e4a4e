"""A leaderboard as a page of the documentation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from solera.bench import tuning, words
from solera.bench.agreed import agreed
from solera.bench.agreement import Agreement
from solera.bench.entries import FOLDS, field_of
from solera.bench.leaderboard import GROUPS, Board, Line
from solera.bench.measuring import BASE, EXPERTS
from solera.bench.statistics import REPLICATES
from solera.bench.table import ordered
from solera.bench.written import Writing, ranked

NOTE = "<!-- Written by `make leaderboard` from benchmarks/results/leaderboard; do not edit. -->"


def page(board: Board, figure: str, found: Agreement | None = None, writing: Writing | None = None) -> str:
    """The page, as Markdown.

    Args:
        board: what it shows.
        figure: the picture's path as the page links to it.
        found: its agreement with a published table.
        writing: what its best entries write by themselves.
    """
    parts = [
        _head(board, figure),
        _ranking(board, writing),
        _per_task(board),
        agreed(found),
        _cost(board),
        _tuned(board),
        _equal(board),
        _left_out(board),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(board: Board, figure: str) -> str:
    bed = board.beds[0]
    seeds = words.seeds(board)
    counts = {group: sum(task.group == group for task in bed.tasks) for group in GROUPS}
    tasks = ", ".join(f"{count} {group}" for group, count in counts.items() if count)
    warning = "" if board.size != "tiny" else "\n\n**Size tiny has no quality gate: nothing can be concluded from it.**"
    return f"""{NOTE}

# {board.testbed}: {"merges of adapters" if board.variant == "adapters" else "the leaderboard"}

{len(bed.experts)} experts of one base ({words.megabytes(bed.weights)} MB each), size `{board.size}`, {seeds};
{tasks} tasks.
`solera testbed build {board.testbed}` makes it, `solera bench {board.testbed}` measures it.{warning}

Held-in and corrupted scores are shares of what the task's own expert scores, unseen ones are plain scores; all in
percent, means over tasks and seeds. Intervals: 95 %, paired bootstrap over seeds and items ({REPLICATES:,} draws); few
seeds make them too narrow rather than too wide. The order is that of the tuned column: every method had at most
{tuning.BUDGET} evaluations on the validation split, by one rule.

{words.MARKS}

![held-in score of every entry]({figure})"""


def _ranking(board: Board, writing: Writing | None) -> str:
    columns = ["held-in, tuned", "with defaults", "over plain average", "unseen", "corrupted"]
    columns += ["written", "tokens"] if writing else []
    rows = ["## Order", "", *_written(writing), "| | entry | " + " | ".join(columns) + " |"]
    rows.append("|---:|---|" + "---:|" * len(columns))
    place = 0
    for line, default in ordered(board):
        reference = line.name[0] in (BASE, EXPERTS)
        ranked = not reference and line.how != "per task"
        place += ranked
        cells = [
            str(place) if ranked else "",
            f"*{words.title(line)}*" if reference else _linked(line),
            words.percent(line.groups["held-in"]),
            words.plain(default.groups["held-in"]) if default else "–",
            words.percent(line.gain, signed=True),
            words.plain(line.groups.get("unseen")),
            words.plain(line.groups.get("corrupted")),
        ]
        if writing:
            answers, length = writing.of(line, default) or (None, float("nan"))
            cells += [words.percent(answers), words.number(length)]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _written(writing: Writing | None) -> Iterator[str]:
    if writing is not None:
        seeds = ", ".join(map(str, writing.seeds))
        yield (
            f"Held-in scores here give every earlier token of an answer. *Written*: the first places, seed {seeds}, "
            "write it by themselves, greedily; right where the end of what they wrote, behind the last colon, is the "
            "answer; a share of what the experts' own writing reaches. *Tokens*: length of what is written, mean over "
            "the held-in tasks."
        )
        yield ""


def _linked(line: Line) -> str:
    return f"`{line.name[0]}`" + words.title(line).removeprefix(line.name[0])


def _per_task(board: Board) -> str:
    """Tuned score in every held-in and unseen task; damaged inputs are one mean in the order's table."""
    tasks = [task for task in board.beds[0].tasks if task.group != "corrupted"]
    rows = [
        "## Task by task",
        "",
        "| entry | " + " | ".join(_task_title(task.name, task.group) for task in tasks) + " |",
    ]
    rows.append("|---|" + "---:|" * len(tasks))
    for line, _ in ordered(board):
        values = (line.tasks.get(task.name, float("nan")) for task in tasks)
        cells = ("–" if value != value else f"{100 * value:.1f}" for value in values)  # noqa: PLR0124 - NaN
        rows.append(f"| {words.title(line)} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _task_title(name: str, group: str) -> str:
    return f"*{name}*" if group == "unseen" else name


def _cost(board: Board) -> str:
    rows = [
        "## Cost",
        "",
        "Wall time of one merge (median over seeds, one thread, both cores at work); bytes of weights read; memory:",
        "the peak above an idle process that the plan predicts. It is not measured here: models this small are less",
        "than the blocks that a merge may hold. [Benchmarks](../benchmarks.md) has predictions beside measured peaks.",
        "",
        "| entry | merge, seconds | read, MB | memory, predicted, MB |",
        "|---|---:|---:|---:|",
    ]
    for line, _ in sorted(ordered(board), key=lambda pair: pair[0].seconds):
        if line.name[0] not in (BASE, EXPERTS):
            cells = (words.seconds(line.seconds), words.megabytes(line.bytes_read), words.megabytes(line.memory))
            rows.append(f"| {words.title(line)} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _tuned(board: Board) -> str:
    rows = [
        "## What was tuned",
        "",
        "The defaults; then five values of the method's coefficient; then two values of its second knob at the best",
        "coefficient, or the two neighbours of the best coefficient where it has no second knob. The first parameter",
        "of each table that a method has is taken: " + _tables() + ".",
        "",
        "| entry | evaluations | chosen, by seed |",
        "|---|---:|---|",
    ]
    for line, _ in ordered(board):
        if line.name[1] == "tuned":
            rows.append(f"| {words.title(line)} | {line.trials} | {words.chosen(line)} |")
    return "\n".join(rows)


def _tables() -> str:
    first = ", ".join(f"`{name}` {list(values)}" for name, values in tuning.COEFFICIENTS.items())
    second = ", ".join(f"`{name}` {list(values)}" for name, values in tuning.SECOND.items())
    return f"coefficient {first}; second knob {second}"


def _left_out(board: Board) -> str:
    folds = ", ".join(f"`{name}` ({how})" for name, how in FOLDS.items())
    rows = ["## Not in the table", "", f"Folds: {folds}; see `bench/entries.py`. Not applicable:", ""]
    rows += [f"- `{name}`: {why}" for name, why in field_of(len(board.beds[0].experts), based=True).left_out.items()]
    rows += [f"- `{entry}` ({mode}) failed: {why}" for (entry, mode), why in board.failed.items()]
    return "\n".join(rows)


def _equal(board: Board) -> str:
    """Entries that cannot be told apart here: aliases, or methods whose difference does not bear on these experts."""
    groups = [" = ".join(f"`{entry}` ({mode})" for entry, mode in names) for names in board.equals()]
    if not groups:
        return ""
    return "\n".join(["## Equal models", "", "Made bit for bit alike on every seed:", "", *(f"- {g}" for g in groups)])


def index(boards: Sequence[Board], names: Sequence[str]) -> str:
    """The page that lists the leaderboards."""
    rows = [
        NOTE,
        "",
        "# Leaderboards",
        "",
        "| testbed | size | experts | seeds | best | held-in |",
        "|---|---|---|---:|---|---:|",
    ]
    for board, name in zip(boards, names, strict=True):
        best = next(ranked(board))
        link = f"[{board.testbed}](leaderboard/{name}.md)"
        cells = (
            link,
            board.size,
            board.variant,
            str(len(board.beds)),
            f"`{best.name[0]}`",
            words.percent(best.groups["held-in"]),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join([*rows, "", "Which published claims these rows bear out: [claims](claims.md).", ""])
