"""Folders of the cache, for files that can be computed or downloaded again; one per content.

    attention-maps/  attention maps of trained networks               studies.outputs.attention_maps
    data/            decoded and split data sets                      runners.data.cache
    downloads/       data sets that timm has downloaded               runners.data.timm_source
    sites/           insertion points of backbones                    spaces.backbones.discover
    sources/         facts about data sources                         runners.data.cache

Each folder belongs to one module; only that module writes and deletes its files.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import platformdirs

CacheContent = Literal["attention-maps", "data", "downloads", "sites", "sources"]


def cache_root() -> Path:
    """`ATTENTUNE_CACHE`, or the user's cache folder of this system."""
    return Path(os.environ.get("ATTENTUNE_CACHE") or platformdirs.user_cache_dir("attentune"))


def cache_folder(content: CacheContent) -> Path:
    """The folder for one kind of content; it need not exist yet."""
    return cache_root() / content
