"""The model card: README.md with the front matter that the Hub reads."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from solera.reconcile.licences import Licence


@dataclass(frozen=True, slots=True)
class CardModel:
    """A parent on the card: as the recipe names it, its Hub id (None for local folders), its role."""

    name: str
    hub_id: str | None = None
    revision: str | None = None
    is_base: bool = False


@dataclass(frozen=True, slots=True)
class CardMethod:
    """A method on the card: name, one line, arXiv number ("" if it has none)."""

    name: str
    summary: str = ""
    paper: str = ""


_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


def hub_id(path: str) -> str | None:
    """The Hub id that a model's path is, None for a folder or file.

    Example:
        >>> hub_id("org/model"), hub_id("./model"), hub_id("model")
        ('org/model', None, None)
    """
    return path if _HUB_ID.match(path) and not Path(path).exists() else None


def library_of(names: Collection[str], config: Mapping[str, Any]) -> str | None:
    """The library that loads a model with these side files and this config, None if that is unknown.

    Example:
        >>> library_of(["modules.json"], {"model_type": "bert"}), library_of([], {"model_type": "llama"})
        ('sentence-transformers', 'transformers')
    """
    if "modules.json" in names:
        return "sentence-transformers"
    return "transformers" if config.get("model_type") else None


def model_card(
    *,
    title: str,
    recipe: str,
    models: Sequence[CardModel],
    methods: Sequence[CardMethod],
    licence: Licence | None = None,
    library: str | None = "transformers",
    pipeline: str | None = None,
    notes: Sequence[str] = (),
    version: str = "",
) -> str:
    """Write README.md: front matter for the Hub, then what was merged, how, and the recipe itself.

    Args:
        title: the output's name.
        recipe: the recipe as text.
        models: the parents, base first.
        methods: the methods used, in order of first use.
        licence: what the parents allow (see `strictest`); None leaves the field out.
        library: the library that loads the model; None leaves the field out.
        pipeline: the Hub's task name, if all parents agree.
        notes: what a reader must know: what was filled, left out, approximated.
        version: of Solera.

    Example:
        >>> text = model_card(title="m", recipe="method: ties", models=[CardModel("org/a", "org/a")],
        ...     methods=[CardMethod("ties", "Resolve sign conflicts.", "2306.01708")])
        >>> text.splitlines()[:4]
        ['---', 'base_model:', '- org/a', 'base_model_relation: merge']
    """
    front = _front_matter(models, licence, library, pipeline)
    parts = [
        f"---\n{_yaml(front)}---\n",
        f"# {title}\n",
        "This model is a merge of other models, made with Solera" + (f" {version}." if version else "."),
        "\n## Models\n",
        *(_model_line(m) for m in models),
        "\n## Method\n",
        *(_method_line(m) for m in methods),
        "\n## Recipe\n",
        f"{_fence(recipe)}yaml\n{recipe.rstrip()}\n{_fence(recipe)}",
    ]
    if notes:
        parts += ["\n## Notes\n", *(f"- {_plain(note)}" for note in notes)]
    return "\n".join(parts) + "\n"


def _front_matter(
    models: Sequence[CardModel], licence: Licence | None, library: str | None, pipeline: str | None
) -> dict[str, Any]:
    ids = list(dict.fromkeys(m.hub_id for m in models if m.hub_id))
    front: dict[str, Any] = {"base_model": ids, "base_model_relation": "merge"} if ids else {}
    if library:
        front["library_name"] = library
    if pipeline:
        front["pipeline_tag"] = pipeline
    if licence is not None:
        fields: Mapping[str, str | None] = {
            "license": licence.id,
            "license_name": licence.name,
            "license_link": licence.link,
        }
        front |= {key: value for key, value in fields.items() if value}
    return {**front, "tags": ["merge", "solera"]}


def _yaml(value: Mapping[str, Any]) -> str:
    from ruamel.yaml import YAML

    yaml, out = YAML(typ="safe", pure=True), StringIO()
    yaml.default_flow_style = False
    yaml.width = 10_000
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(dict(value), out)
    return out.getvalue()


def _model_line(model: CardModel) -> str:
    name = f"[{model.name}](https://huggingface.co/{model.hub_id})" if model.hub_id else f"`{model.name}`"
    revision = f" at `{model.revision}`" if model.revision else ""
    return f"- {name}{revision}{' (base)' if model.is_base else ''}"


def _method_line(method: CardMethod) -> str:
    paper = f" [arXiv:{method.paper}](https://arxiv.org/abs/{method.paper})" if method.paper else ""
    return f"- `{method.name}`: {method.summary}{paper}" if method.summary else f"- `{method.name}`{paper}"


def _fence(text: str) -> str:
    """Backticks enough to hold a text that has some itself."""
    longest = max((len(run) for run in text.replace("\n", " ").split(" ") if run and set(run) == {"`"}), default=0)
    return "`" * max(3, longest + 1)


def _plain(text: str) -> str:
    return " ".join(text.split())
