"""One small door to every kind of store: list, read a range, write on a condition.

obstore is the fast path (S3, Google, Azure, HTTP); whatever else fsspec knows goes through fsspec.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

from solera.checkpoints.remote.address import Pinned, as_given, had_secrets
from solera.checkpoints.remote.patience import Passing, Patience
from solera.checkpoints.remote.trouble import Moved, family, told
from solera.errors import CheckpointError, MissingExtra


@dataclass(frozen=True, slots=True)
class Entry:
    """An object of a store: bytes, and what tells its states apart (ETag, else time of the last change)."""

    size: int
    pin: str


@dataclass(frozen=True, slots=True)
class Got:
    """A range of an object: its bytes (a buffer), and what the store says of the object."""

    data: Any
    entry: Entry


class Door(Protocol):
    """A folder of a store. Names are relative to it. Every error is one of `trouble`'s."""

    def entries(self) -> Mapping[str, Entry]:
        """All objects below the folder."""
        ...

    def get(self, name: str, start: int, stop: int, pin: str = "") -> Got:
        """Bytes [start, stop), fewer at the end of the object; `Moved` where the object is not as `pin` says."""
        ...

    def put(self, name: str, data: bytes | Path, *, pin: str | None = None) -> str:
        """Write an object and return its pin.

        `pin` "" writes only where there is nothing, another text only over that state (else `Moved`), None always.
        """
        ...

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        ...


def door_to(folder: str, name: str = "", *, patience: Patience | None = None) -> Door:
    """The door to a folder; `name` is given where an address names one object, which may be signed by itself.

    Raises:
        MissingExtra: the extra `remote` is not installed. CheckpointError: nobody knows the scheme.
    """
    patience = patience or Patience.of_environment()
    kind = family(folder)
    if kind == "http":
        return ObstoreDoor(folder, http_store(_http_root(folder, name), patience))
    if kind == "hf":
        from solera.checkpoints.remote.hub_door import hub_door

        return hub_door(folder, patience)
    if kind in ("s3", "gs", "az"):
        return ObstoreDoor(folder, _cloud_store(folder, patience, _environment()))
    return FsspecDoor(folder, *_fsspec(folder))


def _obstore() -> Any:
    try:
        import obstore.store
    except ImportError:
        raise MissingExtra("remote", needed_for="Reading and writing models at remote addresses") from None
    return obstore


def _options(patience: Patience, *, plain: bool) -> dict[str, Any]:
    """Requests are retried here, not in the library: one policy for both, and answers that are short count too."""
    wait = timedelta(seconds=patience.timeout)
    client = {"connect_timeout": min(wait, timedelta(seconds=5)), "read_timeout": wait, "timeout": 20 * wait}
    return {"client_options": {**client, "allow_http": plain}, "retry_config": {"max_retries": 0}}


def _environment() -> tuple[tuple[str, str], ...]:
    """What the environment says of stores and credentials: when it changes, connections are made anew."""
    return tuple(sorted(pair for pair in os.environ.items() if pair[0].startswith(("AWS_", "GOOGLE_", "AZURE_"))))


@lru_cache(maxsize=64)
def _cloud_store(folder: str, patience: Patience, _environment: tuple[tuple[str, str], ...]) -> Any:
    if had_secrets(folder):
        raise CheckpointError(
            "Credentials in this address are not used.", where=folder, fix="put them into the environment"
        )
    plain = any(os.environ.get(name, "").startswith("http://") for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT"))
    more: dict[str, Any] = {}
    if family(folder) == "s3" and _has_profile():
        with told(folder):
            from obstore.auth.boto3 import Boto3CredentialProvider

            more["credential_provider"] = Boto3CredentialProvider()
    with told(folder):
        return _obstore().store.from_url(folder, **_options(patience, plain=plain), **more)


def _has_profile() -> bool:
    """Whether credentials stand in the files of the AWS tools, and not in the environment (which wins)."""
    named = any(os.environ.get(f"AWS_{name}") for name in _IN_ENVIRONMENT)
    files = [os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")]
    files += [os.environ.get("AWS_CONFIG_FILE", "~/.aws/config")]
    return not named and any(Path(file).expanduser().is_file() for file in files)


_IN_ENVIRONMENT = (
    "ACCESS_KEY_ID", "WEB_IDENTITY_TOKEN_FILE", "CONTAINER_CREDENTIALS_RELATIVE_URI", "CONTAINER_CREDENTIALS_FULL_URI",
    "SKIP_SIGNATURE",
)  # fmt: skip


def _http_root(folder: str, name: str) -> str:
    """The address that requests start from, with what was withheld."""
    address = Pinned(folder, name, 0, "").address if name else folder
    given = as_given(address)
    if not name or given == address:
        return as_given(folder)
    parts = urlsplit(given)
    return urlunsplit(parts._replace(path=parts.path.rpartition("/")[0]))


def http_store(root: str, patience: Patience, headers: Mapping[str, str] | None = None) -> Any:
    """A store of obstore at an address of the web; a user and password in it are sent as a header."""
    parts = urlsplit(root)
    user, at, host = parts.netloc.rpartition("@")
    options = _options(patience, plain=parts.scheme == "http")
    known = dict(headers or {})
    if at:
        known["authorization"] = "Basic " + base64.b64encode(unquote(user).encode()).decode()
    options["client_options"] |= {"default_headers": known} if known else {}
    obstore = _obstore()
    with told(urlunsplit((parts.scheme, host, parts.path, "", ""))):
        return obstore.store.HTTPStore.from_url(urlunsplit(parts._replace(netloc=host, fragment="")), **options)


@dataclass(frozen=True, slots=True, eq=False)
class ObstoreDoor:
    """A folder behind obstore."""

    folder: str
    store: Any

    def entries(self) -> Mapping[str, Entry]:
        """All objects below the folder."""
        with told(self.folder):
            rows = [row for page in _obstore().list(self.store) for row in page]
        return {row["path"]: Entry(row["size"], _pin(row)) for row in rows}

    def get(self, name: str, start: int, stop: int, pin: str = "") -> Got:
        """As the contract says; ETags go along as If-Match, and are compared with the answer's."""
        options: dict[str, Any] = {"range": (start, stop)}
        if pin.startswith('"'):  # a weak ETag never matches If-Match
            options["if_match"] = pin
        with told(self._at(name)):
            answer = _obstore().get(self.store, name, options=options)
            entry = Entry(answer.meta["size"], _pin(answer.meta))
            data = answer.bytes()
        return _checked(Got(data, entry), start, stop, pin, self._at(name))

    def put(self, name: str, data: bytes | Path, *, pin: str | None = None) -> str:
        """As the contract says; large files go in parts, conditions only with single requests."""
        mode = "overwrite" if pin is None else {"e_tag": pin} if pin else "create"
        with told(self._at(name)):
            parts = isinstance(data, Path)
            made = _obstore().put(
                self.store, name, data, mode=mode, use_multipart=parts, chunk_size=_PART, max_concurrency=_PARTS
            )
        return str(made["e_tag"] or "")

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        with told(self._at(name)):
            _obstore().delete(self.store, name)

    def _at(self, name: str) -> str:
        return f"{self.folder.partition('?')[0].rstrip('/')}/{name}"


_PART, _PARTS = 16 << 20, 4
"""Bytes of one part of an upload, and parts in flight: 64 MiB in memory."""


def _pin(row: Mapping[str, Any]) -> str:
    """The ETag, else the time of the last change; "" where the server tells neither."""
    if row.get("e_tag"):
        return str(row["e_tag"])
    seen = row.get("last_modified")
    return "" if seen is None or seen.timestamp() <= 0 else seen.astimezone(UTC).isoformat()


def _checked(got: Got, start: int, stop: int, pin: str, address: str) -> Got:
    if pin and got.entry.pin != pin:
        raise Moved(address)
    want = min(stop, got.entry.size) - start
    if len(memoryview(got.data)) != want:
        raise Passing(f"{len(memoryview(got.data))} of {want} bytes")
    return got


def _fsspec(folder: str) -> tuple[Any, str]:
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise MissingExtra("remote", needed_for="Reading models at remote addresses") from None
    try:
        found: tuple[Any, str] = url_to_fs(as_given(folder), use_listings_cache=False)
    except ImportError as error:
        raise CheckpointError("This kind of address needs another library.", where=folder, got=error) from None
    except ValueError:
        schemes = "s3, gs, az, https, hf, and what fsspec knows"
        raise CheckpointError("Nobody knows this kind of address.", where=folder, want=schemes) from None
    return found


@dataclass(frozen=True, slots=True, eq=False)
class FsspecDoor:
    """A folder behind fsspec; without If-Match, the object is looked at before and after every range."""

    folder: str
    files: Any
    root: str

    def entries(self) -> Mapping[str, Entry]:
        """All objects below the folder."""
        with told(self.folder):
            rows = self.files.find(self.root, detail=True)
        inside = self.root.rstrip("/") + "/"
        return {path.removeprefix(inside): _entry(row) for path, row in rows.items()}

    def get(self, name: str, start: int, stop: int, pin: str = "") -> Got:
        """As the contract says."""
        path = f"{self.root.rstrip('/')}/{name}"
        with told(f"{self.folder}/{name}"):
            before = _entry(self.files.info(path))
            data = self.files.cat_file(path, start=start, end=min(stop, before.size))
            after = _entry(self.files.info(path))
        return _checked(Got(data, after), start, stop, pin or before.pin, f"{self.folder}/{name}")

    def put(self, name: str, data: bytes | Path, *, pin: str | None = None) -> str:  # noqa: ARG002
        """Refused: fsspec has no conditional write that all its stores keep."""
        raise CheckpointError(
            "Models are not written to this kind of address.", where=self.folder, got=name, want=str(pin)
        )

    def delete(self, name: str) -> None:
        """Refused, as `put`."""
        raise CheckpointError("Nothing is removed at this kind of address.", where=self.folder, got=name)


def _entry(row: Mapping[str, Any]) -> Entry:
    names = ("ETag", "etag", "md5", "md5Hash", "checksum", "generation", "LastModified", "last_modified", "mtime")
    known = next((row[name] for name in (*names, "updated", "modified", "created") if row.get(name)), "")
    moment = getattr(known, "timestamp", None)  # the same moment is a number here and a date there
    return Entry(int(row["size"] or 0), str(moment() if moment else known))
