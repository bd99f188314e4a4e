"""Tests of an installation without extras; elsewhere they are not collected. `make core` runs them."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = ["test_*.py"] if find_spec("transformers") else []
