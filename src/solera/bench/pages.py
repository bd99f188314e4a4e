"""Write every page that is made from records: ``python -m solera.bench.pages RECORDS_FOLDER DOCS_FOLDER``."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from solera.bench.agreement import agreement
from solera.bench.agreement import as_json as agreement_json
from solera.bench.claims import claims, judge
from solera.bench.figure import draw
from solera.bench.leaderboard import Board, as_json, boards
from solera.bench.ledger import ledger
from solera.bench.page import index, page
from solera.bench.records import read


def board_json(board: Board) -> dict[str, object]:
    """A leaderboard and its agreement with the published table, as plain data."""
    found = agreement(board)
    return {**as_json(board), "agreement": agreement_json(found) if found else None}


def write_board(board: Board, folder: Path) -> tuple[Path, ...]:
    """Write one leaderboard: page, figure (PNG, SVG), JSON; returns the files."""
    name = name_of(board)
    pictures = [draw(board, folder / "figures" / f"{name}.{kind}") for kind in ("png", "svg")]
    text, data = folder / f"{name}.md", folder / f"{name}.json"
    text.write_text(page(board, f"figures/{name}.png"), encoding="utf-8")
    data.write_text(json.dumps(board_json(board), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
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
    variant of its own: claims may name that variant, and there is no leaderboard of it.
    """
    found = boards(read(*sorted(records.glob("*.jsonl"))))
    judged = (*found, *boards(read(*sorted(records.glob("beside/*.jsonl")))))
    files = [file for board in found for file in write_board(board, docs / "leaderboard")]
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
