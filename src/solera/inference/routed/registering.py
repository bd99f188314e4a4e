"""Auto classes of transformers learn of packs: now if they are loaded, else as soon as somebody loads them.

``import solera`` calls `announce`, which imports nothing: it leaves a finder that waits for two modules of
transformers. So `AutoModelForCausalLM.from_pretrained(PACK)` works after it, and costs nothing where it is not used.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_AUTO = "transformers.models.auto"
GENERATING = ("AutoModelForCausalLM", "AutoModelForImageTextToText", "AutoModelForSeq2SeqLM")
OTHERS = (
    "AutoModel",
    "AutoModelForImageClassification",
    "AutoModelForMaskedLM",
    "AutoModelForMultipleChoice",
    "AutoModelForQuestionAnswering",
    "AutoModelForSequenceClassification",
    "AutoModelForTokenClassification",
)


def announce() -> None:
    """Register packs with transformers, or leave word for when it is imported; may be called again."""
    for name, register in _WAITING.items():
        if name in sys.modules:
            register(sys.modules[name])
    if not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())


class _Waiting:
    """A finder of modules that finds nothing new: what it lets be found as always registers packs once it has run."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's own spec, with what follows its import."""
        register = _WAITING.get(fullname)
        spec = PathFinder.find_spec(fullname, path, target) if register else None
        if spec is not None and spec.loader is not None and register is not None:
            _then(spec.loader, register)
        return spec


def _then(loader: Any, register: Callable[[ModuleType], None]) -> None:
    """Let a loader register packs when it has run its module."""
    run = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        run(module)
        register(module)

    loader.exec_module = exec_module


def _configs(module: Any) -> None:
    """After transformers' auto configs."""
    from solera.inference.routed.config import PackConfig
    from solera.inference.routed.index import MODEL_TYPE

    module.AutoConfig.register(MODEL_TYPE, PackConfig, exist_ok=True)


def _models(module: Any) -> None:
    """After transformers' auto models: one class for each, so that a pack of another kind is refused by name."""
    from solera.inference.routed.config import PackConfig
    from solera.inference.routed.generating import GeneratingPack
    from solera.inference.routed.model import PackModel

    for names, kind in ((OTHERS, PackModel), (GENERATING, GeneratingPack)):
        for name in names:
            auto = getattr(module, name, None)
            if auto is not None and PackConfig not in auto._model_mapping:  # noqa: SLF001 - no public question
                said = {"auto_class": name, "__module__": kind.__module__, "__doc__": kind.__doc__}
                auto.register(PackConfig, type(name.replace("AutoModel", "Pack", 1), (kind,), said), exist_ok=True)


_WAITING: dict[str, Callable[[ModuleType], None]] = {
    f"{_AUTO}.configuration_auto": _configs,
    f"{_AUTO}.modeling_auto": _models,
}
