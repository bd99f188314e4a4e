"""Addresses of models and objects: what they name, without the secrets that some of them carry.

User names, passwords and signatures are taken out of an address as soon as it is read. They are kept in this process
alone, so that no recipe, plan, journal, manifest, message or catalog ever holds them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

AHEAD = 128 << 20
"""Bytes of read-ahead that a run over remote models may hold, above what its plan says of local files."""
_ADDRESS = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://")
_SECRET = re.compile(
    r"(?i)^(sig|signature|.*-signature|auth|authorization|awsaccesskeyid|.*(token|secret|passw|api_?key|credential).*)$"
)
"""Names in a query whose values are secrets."""
_BESIDE = re.compile(r"(?i)^(x-(amz|goog)-.*|googleaccessid|expires|policy|key-pair-id|s[vrtepidk]|spr|sip|sk[a-z]+)$")
"""Names that stand beside a signature (S3, Google, CloudFront, Azure), change with it, and mean nothing without."""
_WITHHELD: dict[str, str] = {}
"""Address without secrets -> as it was given."""


def is_address(text: str) -> bool:
    """Whether a text names something by a scheme; ``file://`` is a path like any other.

    Example:
        >>> is_address("s3://bucket/model"), is_address("org/name"), is_address("file:///models/a")
        (True, False, False)
    """
    found = _ADDRESS.match(text)
    return found is not None and found["scheme"].lower() != "file"


def as_address(place: str | os.PathLike[str]) -> str | None:
    """A place as an address without secrets, or None for a path; a `Path` has lost a slash, which is put back.

    Example:
        >>> from pathlib import Path
        >>> as_address(Path("s3://bucket/model")), as_address("models/a")
        ('s3://bucket/model', None)
    """
    text = os.fspath(place)
    if not isinstance(place, str):
        text = re.sub(r"^([A-Za-z][A-Za-z0-9+.-]+):/(?=[^/])", r"\1://", text)
    return without_secrets(text) if is_address(text) else None


def split_address(text: str) -> tuple[str, str | None]:
    """An address without secrets, and its revision; only ``hf://`` has revisions.

    Example:
        >>> split_address("hf://org/name@refs/pr/1"), split_address("s3://bucket/a@b")
        (('hf://org/name', 'refs/pr/1'), ('s3://bucket/a@b', None))
    """
    path, at, revision = text.partition("@") if text.lower().startswith("hf://") else (text, "", "")
    return without_secrets(path), revision if at and revision else None


def without_secrets(address: str) -> str:
    """The address without user, password and signature, which are remembered in this process.

    Example:
        >>> without_secrets("https://ann:pw@host/m.safetensors?rev=2&X-Amz-Signature=ab")
        'https://host/m.safetensors?rev=2'
    """
    if not is_address(address):
        return address
    plain = _plain(address)
    if plain != address:
        _WITHHELD[plain] = address
    return plain


def hidden_in(text: str) -> str:
    """A text (a recipe, a message) in which every address that was read so far has lost its secrets."""
    for plain, given in sorted(_WITHHELD.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(given, plain)
    return text


def as_given(address: str) -> str:
    """The address with what was withheld from it, for the request itself."""
    return _WITHHELD.get(address, address)


def had_secrets(address: str) -> bool:
    """Whether something was withheld from the address, or from one that it lies under."""
    return any(address == plain or address.startswith(plain.rstrip("/") + "/") for plain in _WITHHELD)


def _plain(address: str) -> str:
    scheme, _, rest = address.partition("://")
    if scheme.lower() not in ("http", "https"):
        head, slash, tail = rest.partition("/")
        host = head.rpartition("@")[2] if ":" in head.rpartition("@")[0] else head
        return f"{scheme}://{host}{slash}{tail}"
    parts = urlsplit(address)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    signed = any(_SECRET.match(name) for name, _ in pairs)
    kept = [pair for pair in pairs if not (_SECRET.match(pair[0]) or _BESIDE.match(pair[0]))]
    query = urlencode(kept) if signed else parts.query
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, ""))


@dataclass(frozen=True, slots=True)
class Pinned:
    """One object, at the state in which it was first seen; its text is what a plan holds in the place of a path.

    Attributes:
        folder: the address that its name is relative to. name: inside the folder, with forward slashes.
        size: in bytes. pin: its ETag, or what else tells its states apart; "" where nothing does.

    Example:
        >>> seen = Pinned("s3://bucket/model", "model.safetensors", 1000, '"ab"')
        >>> Pinned.read(str(seen)) == seen, seen.address
        (True, 's3://bucket/model/model.safetensors')
    """

    folder: str
    name: str
    size: int
    pin: str

    @property
    def address(self) -> str:
        """Where it is, for people."""
        head, mark, query = self.folder.partition("?") if self.folder.startswith("http") else (self.folder, "", "")
        return f"{head.rstrip('/')}/{self.name}{mark}{query}"

    def __str__(self) -> str:
        """The pinned address: ``folder#name=..&size=..&pin=..``."""
        return f"{self.folder}#name={quote(self.name, safe='/')}&size={self.size}&pin={quote(self.pin, safe='')}"

    @classmethod
    def read(cls, text: str) -> Pinned:
        """The inverse of `str`; ValueError where it is no pinned address."""
        folder, _, fragment = text.rpartition("#name=")
        name, size, pin = fragment.split("&")
        return cls(folder, unquote(name), int(size.removeprefix("size=")), unquote(pin.removeprefix("pin=")))


def is_pinned(path: str) -> bool:
    """Whether the path of a range of bytes is a pinned address.

    Example:
        >>> is_pinned("/models/a.safetensors"), is_pinned("s3://b/m#name=x&size=1&pin=")
        (False, True)
    """
    return "://" in path and "#name=" in path
