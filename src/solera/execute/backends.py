"""Backends by name: who does the work of a run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from solera.errors import BadParameter, RunError, UnknownName, nearest
from solera.execute.job import CHUNK, Backend
from solera.execute.local import Threads
from solera.plan.cost import Shape, shape_for
from solera.plan.tasks import OutputTensor

BACKENDS = ("threads", "inline", "cuda", "ray")


FEEDERS = 2
"""Threads of the backend `cuda`: one reads while the other's block is computed."""


def check_backend(name: str, *, threads: int | None, address: str | None, workers: int | None) -> None:
    """Refuse options that the backend does not have.

    Raises:
        UnknownName: no such backend. BadParameter: an option of another one.

    Example:
        >>> check_backend("ray", threads=None, address=None, workers=2)
    """
    if name not in BACKENDS:
        raise UnknownName(f"There is no backend `{name}`.", got=name, fix=nearest(name, BACKENDS))
    wrong = {"threads": name != "threads" and threads, "address": name != "ray" and address}
    wrong["workers"] = name != "ray" and workers
    for option in (option for option, given in wrong.items() if given):
        want = "`threads` with the backend `threads`; `address` and `workers` with `ray`"
        raise BadParameter(f"The backend `{name}` has no `{option}`.", want=want, fix=f"leave `{option}` out")
    if workers is not None and workers < 1:
        raise BadParameter("`workers` is not usable.", got=workers, want="a whole number above 0")


def shaped(name: str, outputs: Sequence[OutputTensor], memory: int, workers: int) -> Shape:
    """How work is cut for the workers of a backend: in blocks of their cache, or of a size that keeps a card busy."""
    return shape_for(outputs, memory, workers, CHUNK) if name == "cuda" else shape_for(outputs, memory, workers)


def workers_of(name: str, threads: int | None) -> int:
    """How many of this process work at once."""
    return {"threads": threads or os.cpu_count() or 1, "cuda": FEEDERS}.get(name, 1)


@contextmanager
def opened(name: str, threads: int, *, address: str | None = None, workers: int | None = None) -> Iterator[Backend]:
    """A backend, for one run.

    Args:
        name: one of `BACKENDS`; with `cuda` the steps compute on the graphics card, and threads read and write.
        threads: of the backends `threads` and `cuda`; see `workers_of`. `inline` has none beside the caller's.
        address: of the Ray cluster.
        workers: how many of its cores work at once.

    Raises:
        MissingExtra: the backend needs a package. RunError: the cluster cannot be joined; there is no card.
    """
    if name == "cuda":
        yield Threads(threads, device=_card())
    elif name == "ray":
        from solera.execute.many.backend import ray_backend

        with ray_backend(address, workers) as backend:
            yield backend
    else:
        yield Threads(threads if name == "threads" else 1)


def _card() -> str:
    import torch

    if not torch.cuda.is_available():
        want = "a card that torch sees (torch.cuda.is_available())"
        raise RunError("There is no graphics card to compute on.", want=want, fix="leave out --backend cuda")
    return "cuda"
