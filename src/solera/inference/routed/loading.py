"""Loading a pack: index, digests, tensors, the model inside, the router."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from solera.checkpoints.reader import FileReader
from solera.errors import (
    BadParameter,
    CheckpointError,
    CorruptFile,
    MissingExtra,
    MissingTensor,
    NotFound,
    SoleraError,
    nearest,
)
from solera.inference.routed.contents import Contents, read_contents, read_table
from solera.inference.routed.digests import check_digests
from solera.inference.routed.generating import GeneratingPack
from solera.inference.routed.index import MODEL_TYPE, Pack, open_pack, table_of
from solera.inference.routed.model import PackModel
from solera.inference.routed.routing import Router

_TAKEN = ("dtype", "torch_dtype", "device_map", "attn_implementation")
_PLACE = ("revision", "cache_dir", "local_files_only", "token", "subfolder")
_IGNORED = frozenset({
    "config", "trust_remote_code", "adapter_kwargs", "use_safetensors", "force_download", "proxies", "code_revision",
    "low_cpu_mem_usage", "_from_auto", "_commit_hash", "state_dict",
})  # fmt: skip
_FETCHES = frozenset(
    {"attn_implementation", "_attn_implementation", "experts_implementation", "_experts_implementation", "auto_map"}
)
_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]


def load_pack(folder: str | Path, *, dtype: Any = None, device: Any = None, **options: Any) -> PackModel:
    """Load a pack as a model of transformers, whatever kind it holds.

    Args:
        folder: a pack's folder, or a Hub id.
        dtype: of the model inside; None is that of its config.
        device: where to; None is the processor.
        options: ``attn_implementation``; of the Hub: ``revision``, ``cache_dir``, ``local_files_only``, ``token``.

    Cost: memory for the start twice (as it is, and as it runs), once for the shared vector, and for the tasks' parts.

    Raises:
        BadParameter: an option is not known. NotFound: no such pack. CorruptFile: a file is not what was written.
        CheckpointError: transformers has no such class, or refuses the config. MissingTensor, ShapeMismatch: parts do
            not fit the model. MissingExtra: transformers is missing.
    """
    _check_options(options, {"attn_implementation", *_PLACE})
    return _loaded(_folder(str(folder), options), None, dtype=dtype, device=device, **options)


def from_pretrained(kind: type[PackModel], name: str | Path, **options: Any) -> Any:
    """As transformers' auto classes call it: `kind` says which of them did."""
    _check_options([option for option in options if option not in _IGNORED], {*_TAKEN, *_PLACE, "output_loading_info"})
    place = {key: options[key] for key in _PLACE if options.get(key) is not None}
    dtype = options.get("dtype") or options.get("torch_dtype")
    attention = {"attn_implementation": options.get("attn_implementation") or _asked_attention(options.get("config"))}
    device = _one_device(options.get("device_map"))
    model = _loaded(_folder(str(name), place), kind, dtype=dtype, device=device, **attention)
    nothing: dict[str, set[str]] = {key: set() for key in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    return (model, nothing) if options.get("output_loading_info") else model


def _asked_attention(config: Any) -> str | None:
    """What an auto class was asked for; it leaves word in the config. One that the folder names may be a plain word."""
    said = getattr(config, "_attn_implementation", None)
    return said if isinstance(said, str) and "/" not in said else None


def _check_options(options: Iterable[str], known: set[str]) -> None:
    for option in options:
        if option not in known:
            raise BadParameter(f"`{option}` is not usable with a pack.", fix=nearest(option, known))


def _one_device(device_map: Any) -> Any:
    found = list(device_map.values()) if isinstance(device_map, Mapping) else [device_map]
    if len(set(map(str, found))) != 1:
        raise BadParameter("A pack lies on one device.", got=device_map, want='"cuda", "cpu", ...')
    return ("cuda" if torch.cuda.is_available() else "cpu") if found[0] == "auto" else found[0]


def _folder(name: str, options: Mapping[str, Any]) -> Path:
    """The local folder of a pack; those of the Hub are downloaded."""
    local = Path(name).expanduser()
    inside = str(options.get("subfolder") or "")
    if local.exists():
        return local / inside
    from solera.checkpoints.hub import is_hub_id, is_offline

    if not is_hub_id(name):
        raise NotFound("There is no such pack.", where=name, want="a folder, or a Hub id")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    place = {key: options[key] for key in ("revision", "cache_dir", "token") if options.get(key) is not None}
    offline = bool(options.get("local_files_only")) or is_offline(None)
    try:
        found = snapshot_download(name, allow_patterns=_PATTERNS, local_files_only=offline, **place)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        got = str(error).splitlines()[0][:200]
        raise NotFound("The pack is neither here nor on the Hub.", where=name, got=got) from None
    return Path(found) / inside


def _loaded(folder: Path, kind: type[PackModel] | None, *, dtype: Any, device: Any, **options: Any) -> PackModel:
    from solera.inference.routed.config import PackConfig

    pack = open_pack(folder)
    check_digests(pack)
    inner_kind = _class_of(pack)
    chosen = kind or (GeneratingPack if inner_kind.can_generate() else PackModel)
    _check_kind(pack, chosen)
    contents = read_contents(pack)
    attention = {key: options[key] for key in ("attn_implementation",) if options.get(key) is not None}
    inner = live(pack, contents, dtype=dtype, **attention)
    with _explained(pack):
        config = PackConfig.from_pretrained(folder, local_files_only=True)
    config._attn_implementation = config._experts_implementation = None  # noqa: SLF001 - those of the model inside
    model = chosen(config, pack, inner, contents, read_router(pack))
    return model if device is None else model.to(_device(device))


def live(pack: Pack, contents: Contents, *, dtype: Any = None, **options: Any) -> nn.Module:
    """The model inside, with the weights of the start.

    Raises:
        CheckpointError: transformers has no such class. MissingTensor: a tensor is missing, or has no place.
    """
    kind, state = _class_of(pack), {name: value.clone() for name, value in contents.start.items()}
    for name in contents.owned():
        if name not in state:
            state[name] = next(task.own[name] for task in contents.tasks if name in task.own).clone()
    options |= {"dtype": _dtype(dtype, pack, state), "output_loading_info": True}
    with _quiet(), _explained(pack):
        inner, found = kind.from_pretrained(None, config=_config_of(pack), state_dict=state, **options)
    if wrong := sorted(map(str, {*found["missing_keys"], *found["unexpected_keys"], *found["mismatched_keys"]})):
        raise MissingTensor("The pack does not fit its model.", where=pack.folder, got=", ".join(wrong)[:300])
    return _with_generation(inner, pack)


def _with_generation(inner: Any, pack: Pack) -> nn.Module:
    if (pack.folder / "generation_config.json").is_file() and inner.can_generate():
        from transformers import GenerationConfig

        with _explained(pack):
            inner.generation_config = GenerationConfig.from_pretrained(pack.folder, local_files_only=True)
    found: nn.Module = inner.eval()
    return found


def _device(asked: Any) -> torch.device:
    try:
        return torch.device(asked)
    except (RuntimeError, TypeError):
        raise BadParameter("`device` is not usable.", got=asked, want='"cuda", "cpu", ...') from None


def _class_of(pack: Pack) -> Any:
    return known_class(pack.architecture, str(pack.config.get("model_type", "")), where=pack.folder)


def known_class(architecture: str, model_type: str, *, where: object = "") -> Any:
    """The class of the model inside a pack: one of transformers' own, and nothing else.

    Raises:
        CheckpointError: transformers has no such class or config. MissingExtra: it is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise MissingExtra("hf", needed_for="running a pack") from None
    found = getattr(transformers, architecture, None)
    if not isinstance(found, type) or not issubclass(found, transformers.PreTrainedModel):
        what = "This architecture is not supported: transformers has no such class."
        raise CheckpointError(what, where=where, got=architecture)
    if model_type == MODEL_TYPE or model_type not in transformers.CONFIG_MAPPING:
        what = "This architecture is not supported: transformers has no such config."
        raise CheckpointError(what, where=where, got=model_type)
    return found


def _config_of(pack: Pack) -> Any:
    from transformers import CONFIG_MAPPING

    said = _harmless(pack.config)
    with _explained(pack):
        return CONFIG_MAPPING[said.pop("model_type")].from_dict(said)


def _harmless(config: Mapping[str, Any]) -> dict[str, Any]:
    """A config without what lets transformers fetch code: kernels of the Hub, and classes of a repository."""
    kept = {key: value for key, value in config.items() if key not in _FETCHES}
    return {key: _harmless(value) if isinstance(value, dict) else value for key, value in kept.items()}


@contextmanager
def _explained(pack: Pack) -> Iterator[None]:
    """Whatever transformers says of the folder's config, in one line.

    Raises:
        CheckpointError: it refused.
    """
    try:
        yield
    except SoleraError:
        raise
    except Exception as error:  # a config that is not trusted can break transformers anywhere
        got = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise CheckpointError("transformers cannot make the model inside.", where=pack.folder, got=got) from error


def _check_kind(pack: Pack, kind: type[PackModel]) -> None:
    """Whether the auto class that was asked is that of the model inside; AutoModel takes all."""
    if kind.auto_class == "AutoModel" or kind in (PackModel, GeneratingPack):
        return
    import transformers

    mapping = getattr(transformers, kind.auto_class)._model_mapping  # noqa: SLF001 - transformers has no other way
    found = mapping.get(type(_config_of(pack)), ())
    names = [one.__name__ for one in (found if isinstance(found, (list, tuple)) else [found])]
    if pack.architecture not in names:
        want = f"the auto class of {pack.architecture}, or solera.load_pack"
        raise BadParameter(f"The pack is no {kind.auto_class}.", where=pack.folder, got=pack.architecture, want=want)


def _dtype(asked: Any, pack: Pack, state: Mapping[str, Tensor]) -> torch.dtype:
    if isinstance(asked, torch.dtype):
        return asked
    said = asked if asked not in (None, "auto") else pack.config.get("dtype") or pack.config.get("torch_dtype")
    if said is None:
        return next((value.dtype for value in state.values() if value.is_floating_point()), torch.float32)
    found = getattr(torch, str(said).removeprefix("torch."), None)
    if not isinstance(found, torch.dtype):
        raise BadParameter("`dtype` is not usable.", got=said, want="float32, bfloat16, float16")
    return found


def read_router(pack: Pack) -> Router | None:
    """The router of a pack; None where it has none.

    Raises:
        CorruptFile: its tensors are not those of a router of that size.
    """
    if pack.router is None:
        return None
    with torch.device("meta"):  # the sizes are the index's word: nothing is made room for until the file agrees
        router = Router(pack.router.width, pack.router.hidden, len(pack.tasks))
    where = pack.folder / pack.router.file
    with FileReader() as reader:
        tensors = {name: value.float() for name, value in read_table(table_of(pack, pack.router.file, reader), reader)}
    try:
        router.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        got = str(error).splitlines()[-1].strip()[:200]
        raise CorruptFile("The router is not of the size that the index says.", where=where, got=got) from None
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise CorruptFile("The router holds a value that is not finite.", where=where)
    return router.requires_grad_(requires_grad=False).eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bar and no announcements of transformers inside."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


__all__ = ["from_pretrained", "known_class", "live", "load_pack", "read_router"]
