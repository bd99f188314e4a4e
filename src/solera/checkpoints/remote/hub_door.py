"""The Hub by ranges: ``hf://org/name@revision`` is read where it is, pinned to the commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solera.checkpoints.hub import is_hub_id, is_offline
from solera.checkpoints.remote.doors import Door, Entry, Got, ObstoreDoor, http_store
from solera.checkpoints.remote.patience import Patience
from solera.checkpoints.remote.trouble import Gone, refused, told
from solera.errors import CheckpointError, MissingExtra, NotFound


@dataclass(frozen=True, slots=True, eq=False)
class HubDoor:
    """A repository at one commit. A commit never changes, so its objects need no ETag; `inner` reads them."""

    repo: str
    commit: str
    inner: Door

    @property
    def address(self) -> str:
        """The repository at its commit."""
        return f"hf://{self.repo}@{self.commit}"

    def entries(self) -> Mapping[str, Entry]:
        """Files of the repository; the pin is the content's hash."""
        return _listing(self.repo, self.commit)[1]

    def get(self, name: str, start: int, stop: int, pin: str = "") -> Got:
        """As the contract says; the commit is the pin."""
        got = self.inner.get(name, start, stop)
        return Got(got.data, Entry(got.entry.size, pin))

    def put(self, name: str, data: bytes | Path, *, pin: str | None = None) -> str:  # noqa: ARG002
        """Refused: `solera push` makes a commit."""
        raise CheckpointError(
            "Models are not written to hf:// addresses.", where=f"hf://{self.repo}", got=name, want=str(pin or ""),
            fix="merge into a folder, then: solera push FOLDER org/name",
        )  # fmt: skip

    def delete(self, name: str) -> None:
        """Refused, as `put`."""
        raise CheckpointError("Nothing is removed at hf:// addresses.", where=f"hf://{self.repo}", got=name)


def hub_door(folder: str, patience: Patience) -> HubDoor:
    """The door to ``hf://org/name[@revision]``; a name of a revision is resolved to its commit now."""
    repo, _, revision = folder.removeprefix("hf://").strip("/").partition("@")
    if "/" not in repo or not is_hub_id(repo):
        raise NotFound("This is no model of the Hub.", where=folder, want="hf://org/name or hf://org/name@revision")
    if is_offline(None):
        raise NotFound("The Hub is not asked while working offline.", where=folder, fix="unset HF_HUB_OFFLINE")
    _hub()
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers

    commit = revision if len(revision) == 40 else _listing(repo, revision or None)[0]
    headers = {name.lower(): value for name, value in build_hf_headers().items()}
    root = f"{constants.ENDPOINT}/{repo}/resolve/{commit}"
    kept = {name: value for name, value in headers.items() if name == "authorization"}
    return HubDoor(repo, commit, ObstoreDoor(f"hf://{repo}@{commit}", http_store(root, patience, kept)))


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise MissingExtra("hf", needed_for="Reading models of the Hub") from None
    return huggingface_hub


def _listing(repo: str, revision: str | None) -> tuple[str, Mapping[str, Entry]]:
    from huggingface_hub import constants, errors

    address = f"hf://{repo}" + (f"@{revision}" if revision else "")
    with told(address):
        try:
            info = _hub().HfApi(endpoint=constants.ENDPOINT).model_info(repo, revision=revision, files_metadata=True)
        except errors.GatedRepoError:
            raise refused(address, f"its terms are accepted at https://huggingface.co/{repo}") from None
        except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
            raise Gone(address) from None
    rows = info.siblings or ()
    return info.sha, {row.rfilename: Entry(row.size or 0, row.blob_id or "") for row in rows}
