"""Which images of a folder or archive belong to which split and class.

    cats/1.jpg  dogs/2.jpg                      classes; validation and test are held out
    train/cats/1.jpg  val/cats/2.jpg  test/…    splits of classes (also `validation`, `valid`, …)

A single folder around everything is ignored. Images in folders below a class folder belong to that
class. A split without class folders (such as the unlabelled `test/` of a contest) is left out.

Whatever else could be splits is asked about and never guessed: folders that are called like splits
(`training_set`, `val2017`, `dev`), and folders with the same sub-folders. A class folder without an
image that can be read is an error. `FolderLayout` is how a user answers.
"""

from __future__ import annotations

import glob
import shlex
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from operator import attrgetter

from ....errors import DataError
from ..dataset import SplitName
from ..files.file_names import LeftOutFiles, Listing, ListingBuilder, Reason, describe_left_out
from ..files.folder_tree import (
    MAX_NAMED_FOLDERS,
    build_tree,
    normal_name,
    outermost_level,
    quote_names,
)
from .split_folders import (
    NO_SPLITS,
    FolderLayout,
    SplitFolder,
    recognise_splits,
    requested_splits,
)


@dataclass(frozen=True)
class ImageFile:
    """One image: the name of its class, its path inside its store, and the store's number."""

    class_name: str
    path: str
    store: int = 0

    @property
    def name(self) -> str:
        """The path from the class folder on, which stays the same if the data are moved."""
        folder, _, file = self.path.rpartition("/")
        return _path_from_class(folder, self.class_name) + file


@lru_cache(maxsize=2**12)
def _path_from_class(folder: str, class_name: str) -> str:
    """The path of a folder from the class folder on, with a `/` at its end; empty at the top."""
    names = folder.split("/") if folder else []
    normal = [normal_name(name) for name in names]
    top = normal.index(class_name) if class_name in normal else 0
    return "".join(f"{name}/" for name in names[top:])


by_class_and_path = attrgetter("class_name", "path", "store")
"""The order of images, as a key for sorting."""
FilesBySplit = dict[SplitName, list[ImageFile]]


@dataclass(frozen=True)
class Arrangement:
    """The images of a store by split and class.

    Attributes:
        files: the images of each split, sorted.
        left_out: all other files, counted.
        notes: sentences about what a user may not expect.
    """

    files: FilesBySplit
    left_out: tuple[LeftOutFiles, ...]
    notes: tuple[str, ...]


def arrange_files(listing: Listing, layout: FolderLayout, label: str) -> Arrangement:
    """Assign images to splits and classes, by the rules at the head of this module.

    Args:
        listing: what the store holds.
        layout: what the user says about its folders; `leave_out_requested` comes before.
        label: the store in messages.

    Raises:
        DataError: a question that only the user can answer, or a class without images.
    """
    tree = build_tree(listing)
    notes: list[str] = []
    if layout.splits in (None, NO_SPLITS):
        level = outermost_level(tree, label)
        splits = None if layout.splits == NO_SPLITS else recognise_splits(level, label, notes)
        folders = splits or [SplitFolder("train", tuple(map(glob.escape, level.path)))]
        elsewhere = Reason.BESIDE_SPLITS if splits else Reason.NO_CLASS
        without_class = Reason.UNLABELLED if splits else Reason.NO_CLASS
    else:
        folders = requested_splits(layout.splits, tree, label)
        elsewhere, without_class = Reason.NO_SPLIT, Reason.NO_CLASS
    arrangement = _assign(listing, folders, elsewhere, without_class)
    notes += _check_class_folders(listing, folders, arrangement, label)
    notes += _note_deeper_folders(listing, folders)
    return Arrangement(arrangement.files, arrangement.left_out, tuple(notes))


def leave_out_requested(
    listings: Sequence[Listing], patterns: tuple[str, ...], label: str
) -> list[Listing]:
    """Listings without the folders and images that the user leaves out.

    Args:
        listings: what the stores of a source hold.
        patterns: names or paths, in which `*` is anything.
        label: the source in messages.

    Raises:
        DataError: a pattern matches nothing, so that it may be misspelt.
    """
    parts = {text: normal_name(text).strip("/").split("/") for text in patterns}
    matching: set[str] = set()

    def is_requested(path: str) -> bool:
        names = normal_name(path).split("/")
        matches = [text for text, pattern in parts.items() if _is_part(pattern, names)]
        matching.update(matches)
        return bool(matches)

    remaining = [_without(listing, is_requested) for listing in listings] if patterns else listings
    for text in patterns:
        if text not in matching:
            raise DataError(f"--leave-out {text} matches nothing in {label}; check the name")
    return list(remaining)


def _without(listing: Listing, is_requested: Callable[[str], bool]) -> Listing:
    builder = ListingBuilder()
    images = []
    for path in listing.images:
        if is_requested(path):
            builder.leave_out(path, Reason.REQUESTED)
        else:
            images.append(path)
    for files in listing.left_out:
        is_requested(files.example)
    folders = tuple(folder for folder in listing.folders if not is_requested(folder))
    left_out = tuple(sorted((*listing.left_out, *builder.build().left_out)))
    return Listing(tuple(images), left_out, folders)


def _is_part(pattern: list[str], names: list[str]) -> bool:
    """Whether a pattern matches consecutive names of a path."""
    return any(
        all(fnmatchcase(name, part) for name, part in zip(names[first:], pattern, strict=False))
        for first in range(len(names) - len(pattern) + 1)
    )


def _assign(
    listing: Listing, folders: list[SplitFolder], elsewhere: Reason, without_class: Reason
) -> Arrangement:
    """Assign every image to a split and a class, or leave it out.

    Args:
        listing: what the store holds.
        folders: where the splits are.
        elsewhere: why images outside of them are left out.
        without_class: why images in them without a class folder are left out.
    """
    files: FilesBySplit = {}
    builder = ListingBuilder()
    places: dict[str, tuple[SplitName, str] | Reason] = {}
    for path in listing.images:
        folder = path.rpartition("/")[0]
        if folder not in places:
            places[folder] = _place(folder, folders, elsewhere, without_class)
        match places[folder]:
            case Reason() as reason:
                builder.leave_out(path, reason)
            case (split, class_name):
                files.setdefault(split, []).append(ImageFile(class_name, path))
    left_out = tuple(sorted((*listing.left_out, *builder.build().left_out)))
    in_order = {split: sorted(rows, key=by_class_and_path) for split, rows in files.items()}
    return Arrangement(in_order, left_out, ())


def _place(
    folder: str, folders: list[SplitFolder], elsewhere: Reason, without_class: Reason
) -> tuple[SplitName, str] | Reason:
    """Split and class of the images in a folder, or why they are left out; see `_assign`."""
    names = [normal_name(name) for name in folder.split("/")] if folder else []
    covering = [split_folder for split_folder in folders if split_folder.covers(names)]
    if not covering:
        return elsewhere
    closest = max(covering, key=lambda split_folder: len(split_folder.pattern))
    class_name = closest.class_of(names)
    return without_class if class_name is None else (closest.split, class_name)


def _check_class_folders(
    listing: Listing, folders: list[SplitFolder], arrangement: Arrangement, label: str
) -> list[str]:
    """Check the class folders; return notes about classes that lack images in a split.

    Raises:
        DataError: a class folder without images, or two classes that differ in case only.
    """
    files = arrangement.files
    used = {split: {file.class_name for file in rows} for split, rows in files.items()}
    trained = used.get("train", set())
    _check_spelling(set().union(*used.values()), label)
    unusable = [
        path
        for path, split, class_name in _class_folders(listing, folders)
        if split in used and class_name not in used[split] | trained
    ]
    if unusable:
        raise DataError(_describe_unusable(unusable, arrangement.left_out, label))
    return [
        f"{split} has no image of {quote_names(sorted(missing))}"
        for split in used
        if split != "train" and (missing := trained - used[split])
    ]


def _class_folders(
    listing: Listing, folders: list[SplitFolder]
) -> Iterator[tuple[str, SplitName, str]]:
    """All class folders, also those without images: path, split and name of the class."""
    for path in listing.folders:
        names = [normal_name(name) for name in path.split("/")]
        for folder in folders:
            pattern = folder.pattern
            if "*" in pattern:
                pattern = pattern[: pattern.index("*")]
            if len(names) == len(pattern) + 1 and SplitFolder(folder.split, pattern).covers(names):
                yield path, folder.split, names[-1]


def _note_deeper_folders(listing: Listing, folders: list[SplitFolder]) -> list[str]:
    """A note if class folders have several folders with images inside, which could be classes."""
    inside: dict[str, set[str]] = {}
    for folder in {path.rpartition("/")[0] for path in listing.images}:
        names = [normal_name(name) for name in folder.split("/")]
        for split_folder in folders:
            depth = len(split_folder.pattern) + ("*" not in split_folder.pattern)
            if split_folder.covers(names) and len(names) > depth:
                inside.setdefault("/".join(names[:depth]), set()).add(names[depth])
    nested = {path: names for path, names in inside.items() if len(names) > 1}
    if not nested:
        return []
    path = min(nested)
    return [
        "images in folders below a class folder belong to that class, as those in "
        f"{quote_names(sorted(nested[path]))} to {path!r}"
    ]


def _check_spelling(classes: Iterable[str], label: str) -> None:
    """Raise DataError if two classes differ only in case or in what looks the same in Unicode."""
    spellings: dict[str, str] = {}
    for name in sorted(classes):
        plain = unicodedata.normalize("NFKC", name).casefold().strip()
        other = spellings.setdefault(plain, name)
        if other != name:
            raise DataError(
                f"{label}: the classes {other!r} and {name!r} are spelt almost alike. Rename one: "
                "to the same name if they are one class, else to a clearly different name"
            )


def _describe_unusable(paths: list[str], left_out: Iterable[LeftOutFiles], label: str) -> str:
    """The error for class folders without an image that can be read."""
    contents: dict[str, list[LeftOutFiles]] = {path: [] for path in paths}
    for files in left_out:
        for path in paths:
            if f"{files.folder}/".startswith(f"{path}/"):
                contents[path].append(files)
    described = [
        f"{path!r} ({describe_left_out(files) or 'empty'})"
        for path, files in list(contents.items())[:MAX_NAMED_FOLDERS]
    ]
    if len(paths) > MAX_NAMED_FOLDERS:
        described.append(f"{len(paths) - MAX_NAMED_FOLDERS} more")
    folders = "class folders" if len(paths) > 1 else "the class folder"
    hold = "hold" if len(paths) > 1 else "holds"
    options = " ".join(f"--leave-out {shlex.quote(path)}" for path in paths[:MAX_NAMED_FOLDERS])
    return (
        f"{label}: {folders} {', '.join(described)} {hold} no image that can be read. Add or "
        f"convert images, or leave out what is no class with {options}"
    )
