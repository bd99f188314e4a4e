"""Properties are tried on the same examples every time, without a clock."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("solera", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("solera")
