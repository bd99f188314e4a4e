"""Backends by name: who does the work of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from solera.errors import BadParameter, UnknownName, nearest
from solera.execute.job import Backend
from solera.execute.local import Threads

BACKENDS = ("threads", "inline", "ray")


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


@contextmanager
def opened(name: str, threads: int, *, address: str | None = None, workers: int | None = None) -> Iterator[Backend]:
    """A backend, for one run.

    Args:
        name: one of `BACKENDS`.
        threads: of the backend `threads`; `inline` has none beside the caller's.
        address: of the Ray cluster.
        workers: how many of its cores work at once.

    Raises:
        MissingExtra: the backend needs a package. RunError: the cluster cannot be joined.
    """
    if name == "ray":
        from solera.execute.many.backend import ray_backend

        with ray_backend(address, workers) as backend:
            yield backend
    else:
        yield Threads(threads if name == "threads" else 1)
