"""doctor: what this machine has and lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from solera.cli.options import AsJson
from solera.cli.shown import guarded, rows, say, say_json


@guarded
def doctor(*, as_json: AsJson = False) -> None:
    """Show what this machine has and lacks, with the line that installs each missing extra."""
    from solera import app

    found = app.doctor()
    say_json(found) if as_json else say(_report(found))


def _report(found: Mapping[str, Any]) -> str:
    from solera.plan.explain import size

    facts = {
        "solera": found["solera"],
        "python": f"{found['python']} on {found['platform']}",
        **{name: version or "missing" for name, version in found["versions"].items()},
        "cores": found["cores"],
        "memory": size(found["memory_bytes"]) if found["memory_bytes"] else "unknown",
        "disk": f"{size(found['disk_free_bytes'])} free here",
        "hub": f"{'not asked (offline)' if found['hub_offline'] else 'asked'}; cache {found['hub_cache']}",
    }
    extras = {
        f"extra {name}": "present" if row["present"] else f"lacks {', '.join(row['missing'])}: {row['install']}"
        for name, row in found["extras"].items()
    }
    return rows({**facts, **extras})
