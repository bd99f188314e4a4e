"""How long to wait for a server, and how often to ask again."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from solera.errors import BadParameter

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """Attempts for one request; seconds without a byte after which one is given up; waits between them, in seconds.

    The wait doubles from `first_wait` to `last_wait`; each is drawn between half of that and all of it, so that many
    connections do not come back at once.
    """

    attempts: int = 6
    timeout: float = 30.0
    first_wait: float = 0.2
    last_wait: float = 8.0

    @classmethod
    def of_environment(cls) -> Patience:
        """The default, or what SOLERA_REMOTE_ATTEMPTS, SOLERA_REMOTE_TIMEOUT and SOLERA_REMOTE_WAIT say."""
        attempts = int(_number("SOLERA_REMOTE_ATTEMPTS", cls().attempts))
        first = _number("SOLERA_REMOTE_WAIT", cls().first_wait)
        return cls(attempts, _number("SOLERA_REMOTE_TIMEOUT", cls().timeout), first, max(first, cls().last_wait))

    def waits(self) -> Iterator[float]:
        """Seconds to wait before each attempt; the first is 0."""
        yield 0.0
        wait = self.first_wait
        for _ in range(self.attempts - 1):
            yield wait * random.uniform(0.5, 1.0)  # noqa: S311 - no secret, and no part of any result
            wait = min(2 * wait, self.last_wait)


def _number(name: str, default: float) -> float:
    text = os.environ.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = 0.0
    if value <= 0:
        raise BadParameter("The setting is not usable.", where=name, got=text, want="a number above 0")
    return value


class Passing(Exception):
    """A failure that may pass: a 5xx, a timeout, a cut connection, a short answer. Caught in this folder."""


def persistently(ask: Callable[[], T], patience: Patience) -> T:
    """Run `ask` until it succeeds; raises the last `Passing` when patience ends, and everything else at once."""
    last: Passing | None = None
    for wait in patience.waits():
        time.sleep(wait)
        try:
            return ask()
        except Passing as failure:
            last = failure
    assert last is not None
    raise last
