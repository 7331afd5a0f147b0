"""Compare a data source, as it is now, with the record of what a study was searched on.

Images are compared by content: those that have kept their names first, and only if they differ, all
others. So an image that was renamed or moved is recognised, and what a change means can be said: a
class folder that has another name, an image that is in another class, one that is gone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ....sanitize import MAX_NAME_LENGTH, clean_text
from ..content_hashes import UNKNOWN_HASH
from ..dataset import SPLITS, Labels, Rows, SplitName
from ..sources.source import DataSource
from .record import DataRecord

MISSING = -1
MAX_NAMED_CHANGES = 3
"""Images or classes that a message names; of more, it says how many there are."""

ImageAt = tuple[SplitName, int]
"""A split of a source, and the number of an image in it."""


@dataclass(frozen=True, eq=False)
class Location:
    """Where the images of one recorded split are now.

    Attributes:
        splits: (N,) positions in `SPLITS` of the source's splits.
        rows: (N,) numbers of images in those splits; `MISSING` for images that are gone.
    """

    splits: Labels
    rows: Rows


@dataclass(frozen=True, eq=False)
class DataComparison:
    """What has become of recorded images.

    Attributes:
        locations: where they are now, by recorded split.
        changes: what has changed, each in a few words; empty if the content is the same.
    """

    locations: dict[SplitName, Location]
    changes: tuple[str, ...]


def compare_with_record(record: DataRecord, source: DataSource) -> DataComparison:
    """Find the images of a record in a source, and say what has changed.

    Args:
        record: what a study was searched on.
        source: as it is now. Images whose content is not known are read.

    Raises:
        DataError: the source cannot be read.
    """
    return _Matching(record, source).compare()


class _Matching:
    """Assigns the images of a record to those of a source."""

    def __init__(self, record: DataRecord, source: DataSource) -> None:
        self.record, self.source = record, source
        self.recorded = record.image_list.images
        self.labels = source.read_labels()
        self.classes = tuple(
            clean_text(name, MAX_NAME_LENGTH, one_line=True) for name in source.classes
        )
        self.locations = {
            split: Location(
                np.zeros(len(images.labels), np.int64),
                np.full(len(images.labels), MISSING, np.int64),
            )
            for split, images in self.recorded.items()
        }
        self.assigned = {split: np.zeros(len(rows), bool) for split, rows in self.labels.items()}
        self.in_another_class: list[tuple[ImageAt, ImageAt]] = []
        self.in_another_split: list[ImageAt] = []
        self.altered: list[ImageAt] = []
        self.missing: list[ImageAt] = []

    def compare(self) -> DataComparison:
        """Match by name, then by content; the rest is missing, altered or new."""
        same_name = {split: self._match_names(split) for split in self.recorded}
        unmatched = [
            (split, row)
            for split, location in self.locations.items()
            for row in np.flatnonzero(location.rows == MISSING).tolist()
        ]
        if unmatched:
            self._match_content(unmatched, same_name)
        return DataComparison(self.locations, tuple(self._describe_changes()))

    def _match_names(self, split: SplitName) -> dict[int, int]:
        """Assign the images of a split that have the same name, class and content.

        Returns:
            The numbers of the images with another content, by their numbers in the record.
        """
        if split not in self.labels:
            return {}
        images, hashes = self.recorded[split], self.source.hashes
        numbers = {name: row for row, name in enumerate(hashes.names(split))}
        rows = np.array([numbers.get(name, MISSING) for name in images.names], np.int64)
        candidates = np.flatnonzero(rows != MISSING)
        candidates = candidates[self._has_same_class(split, candidates, rows[candidates])]
        is_used = images.hashes[candidates] != UNKNOWN_HASH
        self._read_unknown(split, rows[candidates[is_used]])
        now = hashes.of(split)[rows[candidates]]
        is_same = ~is_used | (now == images.hashes[candidates])
        for row in candidates[is_same].tolist():
            self._assign((split, row), (split, int(rows[row])))
        return {row: int(rows[row]) for row in candidates[~is_same].tolist()}

    def _has_same_class(self, split: SplitName, recorded: Rows, now: Rows) -> Rows:
        """Whether images have the same class in the record and in the source; positions."""
        numbers = {name: number for number, name in enumerate(self.record.classes)}
        before_by_now = np.array([numbers.get(name, MISSING) for name in self.classes], np.int64)
        before = self.recorded[split].labels[recorded]
        return np.flatnonzero(before == before_by_now[self.labels[split][now]])

    def _read_unknown(self, split: SplitName, rows: Rows) -> None:
        unknown = self.source.hashes.unknown_rows(split, rows)
        if len(unknown):
            self.source.read_hashes(split, np.sort(unknown))

    def _assign(self, recorded: ImageAt, now: ImageAt) -> None:
        location = self.locations[recorded[0]]
        location.splits[recorded[1]] = SPLITS.index(now[0])
        location.rows[recorded[1]] = now[1]
        self.assigned[now[0]][now[1]] = True

    def _match_content(
        self, unmatched: Sequence[ImageAt], same_name: dict[SplitName, dict[int, int]]
    ) -> None:
        """Assign images by content alone, and collect what is different about them.

        Args:
            unmatched: images of the record.
            same_name: by split, the images that have kept their names and have another content.
        """
        by_hash: dict[int, list[ImageAt]] = defaultdict(list)
        for split, assigned in self.assigned.items():
            rows = np.flatnonzero(~assigned)
            self._read_unknown(split, rows)
            for row, number in zip(
                rows.tolist(), self.source.hashes.of(split)[rows].tolist(), strict=True
            ):
                by_hash[number].append((split, row))
        for image in unmatched:
            split, row = image
            number = int(self.recorded[split].hashes[row])
            candidates = by_hash.get(number, []) if number != UNKNOWN_HASH else []
            if candidates:
                now = min(candidates, key=lambda each: self._distance(image, each))
                candidates.remove(now)
                self._assign(image, now)
                if now[0] != split:
                    self.in_another_split.append(image)
                elif self._class_before(image) != self._class_now(now):
                    self.in_another_class.append((image, now))
            elif row in same_name[split]:
                self.altered.append(image)
                self.assigned[split][same_name[split][row]] = True  # It is not a new image.
            else:
                self.missing.append(image)

    def _distance(self, recorded: ImageAt, now: ImageAt) -> tuple[bool, bool]:
        return now[0] != recorded[0], self._class_before(recorded) != self._class_now(now)

    def _class_before(self, image: ImageAt) -> str:
        return self.record.classes[int(self.recorded[image[0]].labels[image[1]])]

    def _class_now(self, image: ImageAt) -> str:
        return self.classes[int(self.labels[image[0]][image[1]])]

    def _describe_changes(self) -> list[str]:
        before, now = set(self.record.classes), set(self.classes)
        renamed = self._renamed_classes(before - now, now - before)
        changes = [f"the class {old!r} is called {new!r} now" for old, new in renamed.items()]
        gone = sorted(before - now - renamed.keys())
        new = sorted(now - before - set(renamed.values()))
        changes += [_count_names("class {} is gone", "classes are gone", gone)] if gone else []
        changes += [_count_names("class {} was added", "classes were added", new)] if new else []
        moved = [
            image
            for image, place in self.in_another_class
            if renamed.get(self._class_before(image)) != self._class_now(place)
        ]
        if not changes and self.record.classes != self.classes:
            changes.append("the classes are in another order")
        changes += self._describe_images("is in another class", "are in another class", moved)
        changes += self._describe_images(
            "is in another split", "are in another split", self.in_another_split
        )
        changes += self._describe_images("was changed", "were changed", self.altered)
        changes += self._describe_images("is gone", "are gone", self.missing)
        added = [
            self.source.hashes.names(split)[row]
            for split, assigned in self.assigned.items()
            for row in np.flatnonzero(~assigned).tolist()
        ]
        changes += _describe_names("was added", "were added", added)
        return changes + self._describe_groups() + self._describe_weights()

    def _describe_groups(self) -> list[str]:
        """Whether images that are still there are in other groups than before."""
        pairs: set[tuple[int, int]] = set()
        groups_now = self.source.read_groups()
        for split, images in self.recorded.items():
            location, before = self.locations[split], images.groups
            for number, origin in enumerate(SPLITS):
                rows = np.flatnonzero((location.splits == number) & (location.rows != MISSING))
                now = groups_now.get(origin)
                if not len(rows) or (before is None and now is None):
                    continue
                if before is None or now is None:
                    return ["there are other groups of images"]
                after = now[location.rows[rows]]
                pairs.update(zip(before[rows].tolist(), after.tolist(), strict=True))
        sizes = {len(pairs), *(len({pair[side] for pair in pairs}) for side in (0, 1))}
        return ["there are other groups of images"] if len(sizes) > 1 else []

    def _describe_weights(self) -> list[str]:
        """Which images that are still there have other weights than before."""
        changed: list[str] = []
        weights_now = self.source.read_weights()
        for split, images in self.recorded.items():
            location = self.locations[split]
            for number, origin in enumerate(SPLITS):
                rows = np.flatnonzero((location.splits == number) & (location.rows != MISSING))
                before, now = images.weights, weights_now.get(origin)
                if not len(rows) or (before is None and now is None):
                    continue
                if before is None or now is None:
                    return [f"the images have {'weights' if before is None else 'no weights'} now"]
                is_other = before[rows] != now[location.rows[rows]]
                changed += [images.names[row] for row in rows[is_other].tolist()]
        return _describe_names("has another weight", "have other weights", changed)

    def _renamed_classes(self, gone: Iterable[str], new: Iterable[str]) -> dict[str, str]:
        """The new names of classes most of whose images are in a new class."""
        moves: dict[str, Counter[str]] = defaultdict(Counter)
        for image, place in self.in_another_class:
            moves[self._class_before(image)][self._class_now(place)] += 1
        renamed = {}
        for name in sorted(gone):
            (target, count) = next(iter(moves[name].most_common(1)), ("", 0))
            if target in set(new) and 2 * count > sum(moves[name].values()):
                renamed[name] = target
        return renamed if len(set(renamed.values())) == len(renamed) else {}

    def _describe_images(self, one: str, many: str, images: Sequence[ImageAt]) -> list[str]:
        names = [self.recorded[split].names[row] for split, row in images]
        return _describe_names(one, many, names)


def _describe_names(one: str, many: str, names: Sequence[str]) -> list[str]:
    """`3 images are gone (cats/1.jpg, …)`; nothing for no images."""
    if not names:
        return []
    shown = [clean_text(name, MAX_NAME_LENGTH, one_line=True) for name in names[:MAX_NAMED_CHANGES]]
    rest = ", …" if len(names) > MAX_NAMED_CHANGES else ""
    subject = "1 image" if len(names) == 1 else f"{len(names):,} images"
    return [f"{subject} {one if len(names) == 1 else many} ({', '.join(shown)}{rest})"]


def _count_names(one: str, many: str, names: Sequence[str]) -> str:
    """`the class 'owls' was added`, or `3 classes were added ('a', 'b', 'c')`."""
    if len(names) == 1:
        return f"the {one.format(repr(names[0]))}"
    rest = ", …" if len(names) > MAX_NAMED_CHANGES else ""
    shown = ", ".join(map(repr, names[:MAX_NAMED_CHANGES]))
    return f"{len(names)} {many} ({shown}{rest})"
