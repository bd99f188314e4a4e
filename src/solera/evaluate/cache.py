"""The memory of scores: the same weights are never scored twice on the same data."""

from __future__ import annotations

import json
import sqlite3
import zlib
from array import array
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from solera.errors import CorruptFile, RunError
from solera.evaluate.contract import Score
from solera.folders import user_cache

FILE = "scores.sqlite"
_TABLE = """
CREATE TABLE IF NOT EXISTS scores (
    model TEXT, data TEXT, metric TEXT, dtype TEXT, version TEXT, record TEXT NOT NULL, items BLOB NOT NULL,
    PRIMARY KEY (model, data, metric, dtype, version)
) WITHOUT ROWID
"""
_PATIENCE = 60.0
"""Seconds to wait while another process writes."""


def default_cache() -> Path:
    """The user's file of scores: ``$SOLERA_CACHE/scores.sqlite``, else ``~/.cache/solera/scores.sqlite``.

    Example:
        >>> default_cache().name
        'scores.sqlite'
    """
    return user_cache() / FILE


@dataclass(frozen=True, slots=True)
class ScoreCache:
    """Scores by (model digest, data digest, metric, dtype, code version), in one file that several processes share.

    Example:
        >>> import tempfile
        >>> cache = ScoreCache(Path(tempfile.mkdtemp()) / "scores.sqlite")
        >>> cache.put([Score("m", "digits", "d", "accuracy", 0.5, 0.1, 2, each=(0.0, 1.0))])
        >>> [(score.value, score.each) for score in cache.get("m", "d", "float32", "")]
        [(0.5, (0.0, 1.0))]
    """

    path: Path

    def get(self, model: str, data: str, dtype: str, version: str) -> tuple[Score, ...]:
        """All metrics known of a model on some data.

        Raises:
            CorruptFile: the file is no cache, or damaged. RunError: it cannot be read.
        """
        return self.known(model, [data], dtype, version).get(data, ())

    def known(self, model: str, data: Collection[str], dtype: str, version: str) -> dict[str, tuple[Score, ...]]:
        """Data digest -> all metrics known of a model on it, asked for at once.

        Raises:
            CorruptFile: the file is no cache, or damaged. RunError: it cannot be read.
        """
        if not self.path.exists():
            return {}
        asked = "SELECT data, record, items FROM scores WHERE model = ? AND dtype = ? AND version = ?"
        with self._opened() as opened:
            rows = opened.execute(asked, (model, dtype, version)).fetchall()
        found: dict[str, tuple[Score, ...]] = {}
        for digest, record, items in rows:
            if digest in data:
                found[digest] = (*found.get(digest, ()), _score(json.loads(record), items))
        return found

    def put(self, scores: Iterable[Score]) -> None:
        """Remember scores; one that is known already stays as it is.

        Raises:
            CorruptFile: the file is no cache, or damaged. RunError: it cannot be written.
        """
        rows = [_row(score) for score in scores]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError("The cache of scores cannot be written.", where=self.path, got=error.strerror) from None
        with self._opened() as opened:
            opened.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction; none is kept, so that processes may fork."""
        try:
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE)) as opened, opened:
                opened.execute(_TABLE)
                yield opened
        except sqlite3.OperationalError as error:
            fix = "check its permissions and the disk, or set SOLERA_CACHE to another folder"
            raise RunError("The cache of scores cannot be used.", where=self.path, got=error, fix=fix) from None
        except sqlite3.DatabaseError as error:
            fix = "delete the file: scores are made anew"
            raise CorruptFile("The cache of scores is damaged.", where=self.path, got=error, fix=fix) from None


def _row(score: Score) -> tuple[Any, ...]:
    record = json.dumps(asdict(replace(score, each=())), sort_keys=True)
    items = zlib.compress(array("d", score.each).tobytes())
    return score.model, score.data, score.metric, score.dtype, score.version, record, items


def _score(record: dict[str, Any], items: bytes) -> Score:
    each = array("d")
    each.frombytes(zlib.decompress(items))
    return Score(**{**record, "each": tuple(each)})
