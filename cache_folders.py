"""Folders of the cache, for files that can be computed or downloaded again; one per content.

    artifacts/       copies of files at a URL              runners.artifacts.remote_store
    attention-maps/  attention maps of trained networks    studies.outputs.attention_maps
    data/            decoded and split data sets           runners.data.prepared.cache
    downloads/       data sets that timm has downloaded    runners.data.sources.timm_source
    hashes/          hashes of the content of images       runners.data.content_hashes
    latency/         the turn to measure latencies here    runners.measurement_turns
    memory/          the turn to load large data here      runners.free_memory
    sites/           insertion points of backbones         spaces.backbones.discover
    sources/         facts about data sources              runners.data.prepared.known_sources
    trials/          trials whose files are at a URL       runners.artifacts.copies

Each folder belongs to one module; only that module writes and deletes its files. JSON files hold a
checksum of their content, so that a damaged one is computed again instead of being believed.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any, Literal

import platformdirs

from .files import atomic_write, is_draft

ABANDONED_AFTER_SECONDS = 86_400
"""What is under construction for longer than this was left by a process that was killed."""
CacheContent = Literal[
    "artifacts",
    "attention-maps",
    "data",
    "downloads",
    "hashes",
    "latency",
    "memory",
    "sites",
    "sources",
    "trials",
]


def cache_root() -> Path:
    """`ATTENTUNE_CACHE`, or the user's cache folder of this system."""
    return Path(os.environ.get("ATTENTUNE_CACHE") or platformdirs.user_cache_dir("attentune"))


def cache_folder(content: CacheContent) -> Path:
    """The folder for one kind of content; it need not exist yet."""
    return cache_root() / content


def write_cached_json(file: Path, content: Any) -> None:
    """Write a JSON file of the cache, with a checksum of its content.

    Raises:
        OSError: it cannot be written.
    """
    with atomic_write(file) as draft:
        text = json.dumps({"sha256": _digest(content), "content": content})
        draft.write_text(text, "utf-8")
    for path in file.parent.iterdir():
        if is_draft(path) and time.time() - path.stat().st_mtime > ABANDONED_AFTER_SECONDS:
            path.unlink(missing_ok=True)


def read_cached_json(file: Path) -> Any:
    """The content of a file of `write_cached_json`; None if it is absent or damaged."""
    try:
        stored = json.loads(file.read_bytes())
        return stored["content"] if stored["sha256"] == _digest(stored["content"]) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
