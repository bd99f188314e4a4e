"""Models at addresses: opened by headers, read by ranges, pinned, repeated when a server fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.remote.faulty_proxy import Proxy

from solera import app
from solera.checkpoints import open_checkpoint, parse_ref
from solera.recipe.values import Merge, Operand, Recipe

Zoo = Callable[..., dict[str, Path]]
Upload = Callable[..., str]


def merged(method: str, models: list[str], base: str | None, **parameters: Any) -> Recipe:
    operands = tuple(Operand(parse_ref(model)) for model in models)
    return Recipe(Merge(method, operands, base=parse_ref(base) if base else None, parameters=parameters))


def test_a_model_on_s3_is_opened_by_a_listing_and_one_request_per_header(s3: Proxy, zoo: Zoo, upload: Upload) -> None:
    folder = zoo(experts=0)["base"]
    address = upload(folder)
    model, local = open_checkpoint(address), open_checkpoint(folder)
    assert dict(model.specs) == dict(local.specs)
    assert model.config == local.config
    asked = [row for row in s3.log if "model.safetensors" in row[1]]
    assert len(asked) == 1
    assert asked[0][2].startswith("bytes=0-")


@pytest.mark.parametrize(("method", "options"), [("linear", {}), ("ties", {"density": 0.5}), ("slerp", {"t": 0.3})])
def test_bits_are_those_of_the_same_merge_from_local_files(
    s3: Proxy, zoo: Zoo, upload: Upload, tmp_path: Path, method: str, options: dict[str, Any]
) -> None:
    here = zoo(experts=2, dtype=np.float32)
    there = {name: upload(folder) for name, folder in here.items()}
    base = None if method == "linear" else "base"
    models = ["e0"] if method == "slerp" else ["e0", "e1"]
    one, two = (
        app.merge(merged(method, [str(where[m]) for m in models], base and str(where[base]), **options), tmp_path / out)
        for where, out in ((here, "local"), (there, "remote"))
    )
    assert one.digest == two.digest
    assert one.bytes_read == two.bytes_read
