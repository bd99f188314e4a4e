"""Write every page that is made from records: ``python -m solera.bench.pages RECORDS_FOLDER DOCS_FOLDER``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from solera.bench.agreement import Agreement, agreement
from solera.bench.agreement import as_json as agreement_json
from solera.bench.claims import claims, judge
from solera.bench.figure import draw
from solera.bench.leaderboard import Board, as_json, boards
from solera.bench.ledger import ledger
from solera.bench.page import index, page
from solera.bench.records import Records, read
from solera.bench.written import Writing, writing


def board_json(board: Board, records: Records | None = None) -> dict[str, object]:
    """A leaderboard and its agreement with the published table, as plain data.

    Args:
        board: what it is made from.
        records: its rows and those filed beside it, which join where they can.
    """
    found, wrote = _beside(board, records)
    written = None if wrote is None else {"seeds": list(wrote.seeds), "lines": wrote.plain()}
    return {**as_json(board), "agreement": agreement_json(found) if found else None, "written": written}


def _beside(board: Board, records: Records | None) -> tuple[Agreement | None, Writing | None]:
    return agreement(board, records), None if records is None else writing(records, board)


def write_board(board: Board, folder: Path, records: Records | None = None) -> tuple[Path, ...]:
    """Write one leaderboard: page, figure (PNG, SVG), JSON; returns the files. `records`: see `board_json`."""
    name = name_of(board)
    pictures = [draw(board, folder / "figures" / f"{name}.{kind}") for kind in ("png", "svg")]
    text, data = folder / f"{name}.md", folder / f"{name}.json"
    text.write_text(page(board, f"figures/{name}.png", *_beside(board, records)), encoding="utf-8")
    data.write_text(json.dumps(board_json(board, records), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return (text, data, *pictures)


def name_of(board: Board) -> str:
    """The name of a board's files: the testbed alone where it is the plain case."""
    parts = [
        board.testbed.replace(":", "-"),
        board.size if board.size != "small" else "",
        board.variant.replace("experts", ""),
    ]
    return "-".join(filter(None, parts))


def write_pages(records: Path, docs: Path) -> tuple[Path, ...]:
    """Write all leaderboards, their index and the claim ledger from the records in a folder; returns the files.

    Records in the folder ``beside`` are of scripts that compare something else than methods tuned alike, each under a
    variant of its own: claims may name that variant, and there is no leaderboard of it. On the same testbeds they join
    the comparison with a published table, and say what the first places write.
    """
    files_of = [sorted(records.glob(pattern)) for pattern in ("*.jsonl", "beside/*.jsonl")]
    found, others = (boards(read(*paths)) for paths in files_of)
    every, judged = read(*files_of[0], *files_of[1]), (*found, *others)
    files = [file for board in found for file in write_board(board, docs / "leaderboard", every)]
    listing, claimed = docs / "leaderboard.md", docs / "claims.md"
    docs.mkdir(parents=True, exist_ok=True)
    listing.write_text(index(found, [name_of(board) for board in found]), encoding="utf-8")
    claimed.write_text(ledger([judge(claim, judged) for claim in claims()]), encoding="utf-8")
    return (*files, listing, claimed)


def main(arguments: Sequence[str]) -> None:
    """Write the pages and name them."""
    records, docs = map(Path, arguments)
    for file in write_pages(records, docs):
        sys.stdout.write(f"{file}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
