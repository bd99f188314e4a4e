"""The Ray cluster: joining it, its nodes, whether they are fit for a run. Ray is imported when it is asked for."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from solera.errors import MissingExtra, RunError
from solera.execute.many.parcels import Orders, packed
from solera.execute.many.software import differences
from solera.execute.many.worker import unlike, unseen

KNOCK = 10.0
"""Seconds that the head of a cluster has to take a connection."""
ANSWER = 300.0
"""Seconds that a node has to say what it has: a first worker process must start there."""
OWN = {
    "include_dashboard": False,
    "object_store_memory": 256 << 20,  # states and orders go through it, tensors do not
    "_system_config": {"worker_niceness": 0},  # workers are the merge, and no background work as Ray takes them for
}
"""How a cluster is started for a merge on this machine."""


def the_ray() -> Any:
    """Ray, with nothing reported to anybody.

    Raises:
        MissingExtra: it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # tasks without a GPU leave its settings alone
    try:
        import ray
    except ImportError:
        raise MissingExtra("ray", needed_for="the backend `ray`") from None
    return ray


@dataclass(frozen=True, slots=True)
class Node:
    """A node that can work."""

    id: str
    address: str
    cpus: int

    @property
    def title(self) -> str:
        """Its name in messages."""
        return f"node {self.address}, {self.id[:8]}"


@contextmanager
def joined(address: str | None, workers: int | None) -> Iterator[Any]:
    """Ray, connected: to the cluster that this process is in, to one by address, or to one started for the purpose.

    Args:
        address: ``host:port`` or ``auto``; None takes RAY_ADDRESS, and without it a cluster on this machine is started.
        workers: cores of a cluster that is started.

    Raises:
        RunError: there is no cluster at the address, or it runs another Ray or Python.
    """
    ray = the_ray()
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS")
    logging.getLogger("ray").addHandler(logging.NullHandler())  # what matters comes back as an error
    quiet = {"log_to_driver": False, "configure_logging": False}
    here = {**OWN, "num_cpus": workers}
    try:
        _knock(address)
        ray.init(**quiet, address=address) if address else ray.init(**quiet, **here, address="local")
    except (OSError, RuntimeError, ValueError) as error:
        raise _cannot_join(address or "this machine", _first_line(error)) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str | None) -> None:
    """Ray would knock for ten minutes at a door that is not there.

    Raises:
        OSError, ValueError: nobody listens at the address, or it is none.
    """
    if address is None or address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "//" in host:
        raise ValueError("not HOST:PORT or auto")
    socket.create_connection((host, int(port)), timeout=KNOCK).close()


def _cannot_join(where: str, got: str) -> RunError:
    return RunError(
        "The Ray cluster cannot be joined.",
        where=where,
        got=got,
        want="a cluster with this machine in it, of the same Ray and Python",
        fix="start it with `ray start --head` here, and `ray start --address HOST:PORT` on the others",
    )


def nodes(ray: Any) -> dict[str, Node]:
    """Id -> node, of those that are alive and have cores."""
    alive = [row for row in ray.nodes() if row["Alive"] and row["Resources"].get("CPU", 0) >= 1]
    return {
        row["NodeID"]: Node(row["NodeID"], row["NodeManagerAddress"], int(row["Resources"]["CPU"])) for row in alive
    }


def check_nodes(ray: Any, orders: Orders) -> dict[str, Node]:
    """Ask every node what it has, before it gets work.

    Raises:
        RunError: there is no node; one has other versions or plugins, or does not see the staging folder; the message
            names all such nodes.
    """
    found = nodes(ray)
    if not found:
        raise no_nodes()
    faults = [fault for node, answer in _answers(ray, found, orders) for fault in _faults(node, answer, orders)]
    if faults:
        raise _joined(faults)
    return found


def _answers(ray: Any, found: Mapping[str, Node], orders: Orders) -> Iterator[tuple[Node, Mapping[str, Any]]]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    ask, wanted = ray.remote(_question()), packed(orders)
    asked = {
        node: ask.options(
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False)
        ).remote(wanted)
        for node in found.values()
    }
    until = time.monotonic() + ANSWER
    for node, ref in asked.items():
        try:
            yield node, ray.get(ref, timeout=max(1.0, until - time.monotonic()))
        except ray.exceptions.GetTimeoutError:
            raise RunError("A node of the cluster does not answer.", where=node.title, want="an answer") from None
        except ray.exceptions.RayError as error:
            if node.id in nodes(ray):
                raise RunError("A node of the cluster fails.", where=node.title, got=_last_line(error)) from None


def _question() -> Any:
    """A function that travels as it is: a node without solera must be able to say so."""

    def ask(wanted: bytes) -> dict[str, Any]:
        import platform

        try:
            from solera.execute.many.answer import answer
        except ImportError as error:
            return {"software": {"python": platform.python_version()}, "mark": None, "error": str(error)}
        return answer(wanted)

    ask.__module__ = "__main__"  # pickled by value
    return ask


def _faults(node: Node, answer: Mapping[str, Any], orders: Orders) -> Iterator[RunError]:
    have, want = differences(answer["software"], orders.software)
    if have:
        yield unlike(node.title, have, want)
    elif answer["mark"] != orders.run:
        yield unseen(node.title, orders.mark)


def _joined(faults: list[RunError]) -> RunError:
    """One error that names every node at fault."""
    first = faults[0].fault
    if len(faults) == 1:
        return faults[0]
    got = "; ".join(f"{e.fault.where}: {e.fault.got}" for e in faults)
    what = "Nodes of the cluster are not fit for this run."
    return RunError(what, where=f"{len(faults)} nodes", got=got, want=first.want, fix=first.fix)


def no_nodes() -> RunError:
    """The error for a cluster in which nobody can work."""
    return RunError(
        "The cluster has no node left that can work.",
        want="a node with at least one core",
        fix="add nodes (`ray start --address HOST:PORT`) and run again with --resume",
    )


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).strip().splitlines() if line.strip()), type(error).__name__).strip()


def _last_line(error: Exception) -> str:
    """What was raised in a task stands at the end of its trace."""
    return next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__).strip()
