"""push: upload a merged folder to the Hub, or say what would be uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from solera.errors import NotFound, RecipeError, RunError

_HIDDEN = (".solera", ".git", ".cache")


def push(
    folder: str | Path, repo: str, *, private: bool = True, message: str = "Upload merged model", dry_run: bool = False
) -> dict[str, Any]:
    """Upload every file of a model folder to a repository of the Hub, made if missing.

    Args:
        folder: a merged model.
        repo: ``org/name``.
        private: of a repository that is made now; an old one stays as it is.
        message: of the commit.
        dry_run: upload nothing; no network is used.

    Returns:
        Plain data: ``repo, private, files`` (name -> bytes), ``bytes, warnings, url`` ("" where nothing was pushed).

    Raises:
        NotFound: no such folder, or no weights in it. RecipeError: `repo` is no id. RunError: the Hub refused.
    """
    from solera.checkpoints.hub import is_hub_id

    if not is_hub_id(repo) or "/" not in repo:
        raise RecipeError("The repository's name is not usable.", got=repo, want="org/name")
    files = _files(Path(folder))
    said = {"repo": repo, "private": private, "files": files, "bytes": sum(files.values()), "warnings": _lacks(files)}
    url = "" if dry_run else _upload(Path(folder), repo, private=private, message=message)
    return {**said, "url": url}


def _files(folder: Path) -> dict[str, int]:
    if not folder.is_dir():
        raise NotFound("There is no such folder.", where=folder)
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    names = {p.relative_to(folder).as_posix(): p.stat().st_size for p in paths}
    kept = {name: size for name, size in names.items() if name.split("/")[0] not in _HIDDEN}
    if not any(name.endswith((".safetensors", ".bin")) for name in kept):
        raise NotFound("The folder holds no weights.", where=folder, want="a model made by `solera merge`")
    return kept


def _lacks(files: dict[str, int]) -> list[str]:
    wanted = {"config.json": "nothing can load the model", "README.md": "the page will have no card"}
    return [f"{name} is missing: {why}" for name, why in wanted.items() if name not in files]


def _upload(folder: Path, repo: str, *, private: bool, message: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    hub = HfApi()
    try:
        hub.create_repo(repo, private=private, exist_ok=True)
        ignored = [f"{name}/*" for name in _HIDDEN]
        hub.upload_folder(repo_id=repo, folder_path=folder, commit_message=message, ignore_patterns=ignored)
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        fix = "check the connection; to sign in: hf auth login; then push again, what arrived is kept"
        raise RunError("The Hub did not take the model.", where=repo, got=reason, fix=fix) from None
    return f"https://huggingface.co/{repo}"
