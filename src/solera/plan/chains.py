"""Calls to chains: one chain per distinct call, built once."""

from __future__ import annotations

from functools import lru_cache

from solera import registry
from solera.ops.contract import Chain
from solera.plan.tasks import Call


@lru_cache(maxsize=4096)
def chain_of(call: Call) -> Chain:
    """Build the chain of a call; equal calls share it.

    Raises:
        BadParameter: a bound value is out of range.
    """
    return registry.build(call.method, dict(call.parameters), variant=call.variant)
