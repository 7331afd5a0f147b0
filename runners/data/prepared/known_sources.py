"""What is known of data sources by their fingerprints, so that they need not be read again.

    <cache>/sources/<key>.json   the `SourceInfo` of a source, which for a tar takes a whole pass;
                                 or the key of the data that were prepared from a source;
                                 or the fingerprint of a record that has the same content

A fingerprint is computed from what the system says of files, so a key that follows from it changes
when they change.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ....cache_folders import cache_folder, read_cached_json, write_cached_json
from ...recipe import Recipe
from ..dataset import SourceInfo
from ..preprocessing import ValueRange
from ..sources.resolve import describe_choice, open_source
from ..sources.source import DEFAULT_OPTIONS, DataSource, SourceOptions
from .prepare import KEY_FORMAT, default_crop
from .record import KEY_DIGITS

_FORMAT = 2
"""Part of the names of inspected sources. Raise it when the meaning of a `SourceInfo` changes."""
_EARLIER_FORMAT = 1
"""Part of the keys of attentune 0.1."""
_FIRST_FIELDS = ("image_size", "train_limit", "val_fraction", "data_seed", "skip_broken")
_ADDED_FIELDS = ("fit", "interpolation", "value_range", "fold", "in_chans", "max_pixels")
"""Fields that are part of a key where they differ from their defaults, with which the images are
those of the versions before there were these fields."""


def inspect_data(spec: str, options: SourceOptions = DEFAULT_OPTIONS) -> SourceInfo:
    """Classes, sizes and suitable settings of the data source `spec`, before there is a recipe.

    Args:
        spec: the text of `--data`; see `resolve.open_source`.
        options: how it is read.

    Raises:
        DataError: there is no such source, or it has no images to train on.
    """
    source = open_source(spec, options)
    facts = [_FORMAT, source.listing_fingerprint]
    if options.max_pixels is not None:
        facts.append(options.max_pixels)
    file = cache_folder("sources") / f"{_digest(facts)}.json"
    info = _read_source_info(file)
    if info is None:
        counts, channels = source.count_images(), source.count_channels()
        size = source.default_size
        info = SourceInfo(
            name=source.name,
            classes=source.classes,
            native_size=source.native_size,
            image_size=size,
            counts=counts,
            flip=source.flip,
            crop=default_crop(source, size),
            remarks=source.remarks,
            value_range=source.measure_value_range(),
            channels=channels,
        )
        # A cache that cannot be written is reported when the data are prepared.
        with suppress(OSError):
            write_cached_json(file, asdict(info))
    choice = describe_choice(spec)
    return info if choice is None else replace(info, remarks=(choice, *info.remarks))


def _settings(recipe: Recipe) -> list[Any]:
    """The fields of a recipe that determine prepared data, for a digest."""
    facts = recipe.identity_facts()
    added = {field: facts[field] for field in _ADDED_FIELDS if field in facts}
    return [*(facts[field] for field in _FIRST_FIELDS), *([added] if added else [])]


def earlier_key(source: DataSource, recipe: Recipe) -> str:
    """The key that attentune 0.1 gave to prepared data."""
    return _digest([_EARLIER_FORMAT, source.earlier_fingerprint, *_settings(recipe)])


def _pointer_file(source: DataSource, recipe: Recipe) -> Path:
    digest = _digest(["prepared", KEY_FORMAT, source.fingerprint, *_settings(recipe)])
    return cache_folder("sources") / f"{digest}.json"


def knows_prepared_data(source: DataSource, recipe: Recipe, key: str) -> bool:
    """Whether the files of a source, as they are now, are those from which data were prepared.

    Args:
        source: as it is now.
        recipe: with which the data were prepared.
        key: of the prepared data.
    """
    return recall_prepared_key(source, recipe) == key


def remember_same_content(source: DataSource, fingerprint: str) -> None:
    """Remember that a source has the content of a record, so that it need not be read again.

    Args:
        source: as it is now.
        fingerprint: of the record.
    """
    if source.detects_any_change:
        with suppress(OSError):
            write_cached_json(_comparison_file(source, fingerprint), fingerprint)


def has_known_content(source: DataSource, fingerprint: str) -> bool:
    """Whether a source is known to have the content of the record with this fingerprint."""
    return bool(read_cached_json(_comparison_file(source, fingerprint)) == fingerprint)


def _comparison_file(source: DataSource, fingerprint: str) -> Path:
    digest = _digest(["compared", KEY_FORMAT, source.fingerprint, fingerprint])
    return cache_folder("sources") / f"{digest}.json"


def recall_prepared_key(source: DataSource, recipe: Recipe) -> str | None:
    """The key of the data that were prepared from the same files with the same settings."""
    key = read_cached_json(_pointer_file(source, recipe))
    return key if isinstance(key, str) else None


def remember_prepared_key(source: DataSource, recipe: Recipe, key: str) -> None:
    """Remember which data were prepared from these files, so that they need not be read again.

    Args:
        source: of the files.
        recipe: with which the data were prepared.
        key: of the data.
    """
    if source.detects_any_change:
        with suppress(OSError):
            write_cached_json(_pointer_file(source, recipe), key)


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:KEY_DIGITS]


def _read_source_info(file: Path) -> SourceInfo | None:
    """What the cache has about a source; None if the file is absent or damaged."""
    fields = read_cached_json(file)
    try:
        value_range = fields["value_range"] and ValueRange(*fields["value_range"])
        lists = {name: tuple(fields[name]) for name in ("classes", "remarks")}
        return SourceInfo(**{**fields, **lists, "value_range": value_range})
    except (KeyError, TypeError):
        return None
