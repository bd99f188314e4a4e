"""Where what can be made again is kept."""

from __future__ import annotations

import os
from pathlib import Path


def user_cache() -> Path:
    """Solera's folder in the user's cache: ``$SOLERA_CACHE``, else ``solera`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.

    Example:
        >>> from unittest.mock import patch
        >>> with patch.dict(os.environ, {"SOLERA_CACHE": "kept"}):
        ...     user_cache().name
        'kept'
    """
    if kept := os.environ.get("SOLERA_CACHE"):
        return Path(kept)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "solera"
