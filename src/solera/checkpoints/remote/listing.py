"""What lies in a remote folder; on the web, where nothing can be listed, the usual names are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from solera.checkpoints.contract import Limits
from solera.checkpoints.remote.doors import Door, Entry
from solera.checkpoints.remote.patience import Passing, Patience, persistently
from solera.checkpoints.remote.trouble import Gone, Moved, changed, exhausted, family, missing
from solera.checkpoints.strict_json import parse_object
from solera.errors import UnsafeFile

T = TypeVar("T")

CONNECTIONS = 16
INDEX = "model.safetensors.index.json"
_USUAL = (
    "config.json", "generation_config.json", INDEX, "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    "tokenizer.model", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
    "spiece.model", "sentencepiece.bpe.model", "chat_template.jinja", "preprocessor_config.json",
    "processor_config.json", "modules.json", "README.md", "solera.json", "solera_recipe.yaml", "adapter_config.json",
    "adapter_model.safetensors",
)  # fmt: skip


def entries_of(folder: str, door: Door, patience: Patience, limits: Limits) -> Mapping[str, Entry]:
    """All objects of a folder by name.

    Raises:
        NotFound: there is none. CheckpointError: no access, or the server does not answer.
    """
    if family(folder) == "http":
        found = _asked_for(_USUAL, folder, door, patience)
        found |= _asked_for(_shards(folder, door, found, patience, limits), folder, door, patience)
    else:
        found = dict(settled(folder, patience, door.entries))
    if not found:
        raise missing(folder)
    return found


def settled(address: str, patience: Patience, ask: Callable[[], T]) -> T:
    """The answer to a question that may have to be repeated; its failures in the house form."""
    try:
        return persistently(ask, patience)
    except Gone:
        raise missing(address) from None
    except Passing as last:
        raise exhausted(address, last, patience.attempts) from None


def whole(folder: str, door: Door, name: str, entry: Entry, patience: Patience) -> bytes:
    """All bytes of a small object, at the state that was listed.

    Raises:
        SourceChanged: it is another one by now. CheckpointError: it cannot be read.
    """
    address = f"{folder.partition('?')[0].rstrip('/')}/{name}"
    if not entry.size:
        return b""
    try:
        return bytes(persistently(lambda: door.get(name, 0, entry.size, entry.pin), patience).data)
    except (Gone, Moved):
        raise changed(address, "another object, or none, is there now") from None
    except Passing as last:
        raise exhausted(address, last, patience.attempts) from None


def _asked_for(names: Iterable[str], folder: str, door: Door, patience: Patience) -> dict[str, Entry]:
    def ask(name: str) -> Entry | None:
        try:
            return persistently(lambda: door.get(name, 0, 1), patience).entry
        except (Gone, Moved):  # Moved: an empty file, of which no range can be sent
            return None
        except Passing as last:
            raise exhausted(f"{folder}/{name}", last, patience.attempts) from None

    wanted = list(names)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        found = zip(wanted, pool.map(ask, wanted), strict=True)
        return {name: entry for name, entry in found if entry is not None}


def _shards(folder: str, door: Door, found: Mapping[str, Entry], patience: Patience, limits: Limits) -> list[str]:
    """The names that an index gives to files which no listing shows."""
    if INDEX not in found or "model.safetensors" in found:
        return []
    if found[INDEX].size > limits.json_bytes:
        raise UnsafeFile(
            "The index is too large.", where=f"{folder}/{INDEX}", want=f"{limits.json_bytes} bytes at most"
        )
    index = parse_object(
        whole(folder, door, INDEX, found[INDEX], patience), where=f"{folder}/{INDEX}", what="The index"
    )
    names = index.get("weight_map")
    return sorted({str(name) for name in names.values()}) if isinstance(names, dict) else []
