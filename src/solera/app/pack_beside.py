"""What stands beside the tensors of a pack: index, config, tokenizer and side files, manifest, page."""

from __future__ import annotations

from solera.app.pack_plan import Family
from solera.app.pack_report import METHODS, PackMake, PackReport
from solera.checkpoints.contract import Checkpoint
from solera.checkpoints.identity import digest_file
from solera.execute.staging import Staging
from solera.inference.routed.index import INDEX, MODEL_TYPE, Pack
from solera.plan.explain import size
from solera.reconcile import CARD_FILE, MANIFEST, NUMERICS, digests, dumped, put_file, write_side_files
from solera.version import __version__


def write_index(staging: Staging, pack: Pack) -> None:
    """Write pack.json, and the config that names its digest."""
    put_file(staging.model, INDEX, dumped(pack.plain()))
    labels = {key: pack.config[key] for key in ("id2label", "label2id") if key in pack.config}
    config = {
        "architectures": ["PackModel"],
        "model_type": MODEL_TYPE,
        "index": digest_file(staging.model / INDEX),
        "tasks": list(pack.names),
        **labels,
        "inner": dict(pack.config),
    }
    put_file(staging.model, "config.json", dumped(config))


def write_page(staging: Staging, pack: Pack, family: Family, report: PackReport, wanted: PackMake) -> None:
    """Write side files, page and manifest."""
    write_side_files(staging.model, family.layout, {}, texts={CARD_FILE: _page(report, wanted)})
    names = sorted(path.name for path in staging.model.iterdir() if path.is_file() and path.name not in pack.files)
    inputs = [_input(family.base, "base")] if family.base else []
    inputs += [_input(expert, name) for expert, name in zip(family.experts, pack.names, strict=True)]
    made = {
        "solera": __version__, "numerics": NUMERICS, "kind": "pack", "method": pack.method,
        "parameters": dict(pack.parameters), "result": report.digest, "inputs": inputs,
        "tensors_own": list(report.own), "weights": {name: row.digest for name, row in pack.files.items()},
        "files": digests(staging.model, names), "notes": list(report.warnings),
    }  # fmt: skip
    if pack.method == "twin":
        made["shared"] = wanted.shared
    put_file(staging.model, MANIFEST, dumped(made))


def _input(model: Checkpoint, role: str) -> dict[str, str]:
    return {"model": str(model.ref), "role": role, "weak_id": model.weak_id}


def _page(report: PackReport, wanted: PackMake) -> str:
    """The text of the pack's page on the Hub."""
    sizes = report.sizes
    lines = [
        "---", "library_name: transformers", "tags: [merge, solera, pack]", "---", "", f"# {report.out.name}", "",
        f"A pack made by Solera {__version__}: {report.method}, {METHODS[report.method]}.", "",
        "```python", "import solera  # lets transformers know what a pack is", "from transformers import AutoModel", "",
        f'model = AutoModel.from_pretrained("{report.out.name}")',
        f'model(**inputs, task="{next(iter(report.tasks))}")', "```", "",
        "| task | from | bytes |", "|---|---|---:|",
    ]  # fmt: skip
    lines += [
        f"| {name} | {expert} | {sizes['tasks'][name]:,} |"
        for name, expert in zip(report.tasks, wanted.experts, strict=True)
    ]
    held = f"All together {size(sizes['total'])}; the separate models take {size(sizes['experts'])}."
    return "\n".join([*lines, "", held, ""])
