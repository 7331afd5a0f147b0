"""Where prepared data lies."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_root() -> Path:
    """`ATTENTUNE_CACHE`, or the user's cache folder of this system."""
    return Path(os.environ.get("ATTENTUNE_CACHE") or platformdirs.user_cache_dir("attentune"))
