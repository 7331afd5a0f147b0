"""Which folders are splits: by their names, by what a user says, or by asking.

Folders called `train`, `val` and `test` (or `training`, `validation`, …) with class folders inside
are splits. Whatever else could be one is asked about and never guessed: folders that are called
like splits (`training_set`, `val2017`, `dev`), and folders with the same sub-folders.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ....errors import DataError
from ..dataset import SPLIT_NAMES, SplitName
from ..files.folder_tree import (
    Folder,
    folders_with_images,
    leave_out_options,
    list_folders,
    normal_name,
)

NO_SPLITS = "none"


@dataclass(frozen=True)
class FolderLayout:
    """What a user says about the folders of a source.

    Attributes:
        splits: `train=FOLDER,test=FOLDER`, or `none` if no folder is a split; None: by their names.
        leave_out: names or paths of folders and files that are no part of the data.
    """

    splits: str | None = None
    leave_out: tuple[str, ...] = ()


LAYOUT_BY_NAMES = FolderLayout()
"""The user says nothing: names decide."""


@dataclass(frozen=True)
class SplitFolder:
    """Where the class folders of a split are.

    Attributes:
        split: its name.
        pattern: the names of the folders that lead to it; `*` is any folder. If one is exactly
            `*`, that is the class folder, and the split is inside of it.
    """

    split: SplitName
    pattern: tuple[str, ...]

    def __str__(self) -> str:
        return "/".join(self.pattern)

    def covers(self, folders: Sequence[str]) -> bool:
        """Whether a folder is this one or below it."""
        return len(folders) >= len(self.pattern) and all(
            fnmatchcase(name, part) for name, part in zip(folders, self.pattern, strict=False)
        )

    def class_of(self, folders: Sequence[str]) -> str | None:
        """The class of the images in a folder that this covers; None if they have none."""
        if "*" in self.pattern:
            return folders[self.pattern.index("*")]
        return folders[len(self.pattern)] if len(folders) > len(self.pattern) else None


def parse_splits(text: str) -> dict[str, SplitName]:
    """The split of each folder in a text such as `train=training_set,test=test_set`.

    Raises:
        DataError: the text has another form, or no training split.
    """
    splits: dict[str, SplitName] = {}
    for part in text.split(","):
        name, equals, folder = part.partition("=")
        split = SPLIT_NAMES.get(name.strip().lower())
        folder = folder.strip().strip("/")
        if split is None or not equals or not folder or folder in splits:
            raise DataError(
                f"--split-folders {text!r} cannot be read; write train=FOLDER,val=FOLDER,"
                "test=FOLDER with a different folder for each, or none if no folder is a split"
            )
        splits[folder] = split
    if "train" not in splits.values():
        raise DataError(f"--split-folders {text!r} names no training split; add train=FOLDER")
    return splits


def requested_splits(text: str, tree: Folder, label: str) -> list[SplitFolder]:
    """The splits that the user names; a single folder around them need not be named.

    Args:
        text: of `--split-folders`.
        tree: the folders of the store.
        label: the store in messages.

    Raises:
        DataError: a folder is missing or has no images.
    """
    splits = parse_splits(text)
    level = tree
    while True:
        folders = [
            SplitFolder(split, (*map(glob.escape, level.path), *normal_name(name).split("/")))
            for name, split in splits.items()
        ]
        missing = [
            name
            for name, folder in zip(splits, folders, strict=True)
            if not any(folder.covers(f.path) for f in folders_with_images(tree))
        ]
        if not missing:
            return folders
        if len(level.with_images) != 1:
            raise DataError(
                f"{label}: --split-folders names the folder {missing[0]!r}, which is missing or "
                f"holds no images; there are {list_folders(tree.with_images)}"
            )
        (level,) = level.with_images


def recognise_splits(level: Folder, label: str, notes: list[str]) -> list[SplitFolder] | None:
    """The folders of splits; None if all folders are classes.

    Args:
        level: the folder whose sub-folders are splits or classes.
        label: the store in messages.
        notes: is extended by what a user may not expect.

    Raises:
        DataError: only the user can tell.
    """
    tops = level.with_images
    known = [top for top in tops if top.known_split]
    if any(top.known_split == "train" and top.with_images for top in known):
        _check_known_splits(level, known, label)
        return [
            SplitFolder(top.known_split, tuple(map(glob.escape, top.path)))
            for top in known
            if top.known_split
        ]
    nested = [top for top in tops if top.is_nested]
    names = Counter(name for top in nested for name in top.classes)
    shared = sorted(name for name, count in names.items() if count > 1)
    if shared and len(names) > 1:
        similar = [top for top in nested if top.classes & {*shared}]
        raise DataError(
            f"{label}: {list_folders(similar)} have the same sub-folders, such as {shared[0]!r}. "
            + _how_to_answer(similar, tops, shared)
        )
    likely = [top for top in tops if top.likely_split]
    nested_splits = [top for top in likely if top.is_nested and len(top.with_images) > 1]
    if nested_splits or len(likely) > 1 or (likely and len(tops) < 3):
        doubtful = nested_splits or likely
        raise DataError(
            f"{label}: {list_folders(doubtful)} may be splits or classes. "
            + _how_to_answer(doubtful, tops, [])
        )
    notes += [
        f"{top.name}/ is used as a class, because it holds images and no class folders"
        for top in likely
    ]
    return None


def _check_known_splits(level: Folder, known: list[Folder], label: str) -> None:
    """Check what is beside `train`.

    Raises:
        DataError: two folders mean one split, a split is empty, or other folders may be splits or
            classes too.
    """
    by_split: dict[SplitName, Folder] = {}
    for top in known:
        other = by_split.setdefault(top.known_split or "train", top)
        if other is not top:
            raise DataError(
                f"{label}: {other.name}/ and {top.name}/ mean the same split. "
                + _how_to_answer([other, top], level.with_images, [])
            )
    empty = [folder for folder in level.without_images if folder.known_split]
    if empty:
        raise DataError(
            f"{label}: the split {empty[0].name}/ holds no image that can be read. Add or convert "
            f"images, or leave it out with {leave_out_options(empty)}"
        )
    beside = [top for top in level.with_images if not top.known_split]
    are_splits_certain = len(by_split) > 1
    doubtful = [top for top in beside if top.with_images or not are_splits_certain]
    if doubtful:
        raise DataError(
            f"{label}: beside {list_folders(known)} there is {list_folders(doubtful)}, which may "
            "be a split or a class. " + _how_to_answer(doubtful, level.with_images, [])
        )


def _how_to_answer(doubtful: list[Folder], tops: list[Folder], shared: list[str]) -> str:
    """How a user says what folders are, with names that fit.

    Args:
        doubtful: the folders in question.
        tops: all folders beside one another.
        shared: names that several of them contain.
    """
    if shared and all(name.lower() in SPLIT_NAMES for name in shared):
        answer = ",".join(f"{SPLIT_NAMES[name.lower()]}=*/{name}" for name in shared)
        return (
            f"If these are splits inside class folders, say --split-folders {answer}; if all "
            "images below a class folder belong together, --split-folders none"
        )
    proposals = {top.likely_split: top for top in reversed([*doubtful, *tops]) if top.likely_split}
    if "train" not in proposals:
        rest = [top for top in [*doubtful, *tops] if top not in proposals.values()]
        evaluated: SplitName = "val" if "val" in proposals else "test"
        proposals["train"] = rest[0] if rest else proposals.pop(evaluated)
    if len(proposals) == 1 and len(doubtful) > 1:
        proposals["test"] = next(top for top in doubtful if top is not proposals["train"])
    answer = ",".join(
        f"{split}={proposals[split].name}"
        for split in ("train", "val", "test")
        if split in proposals
    )
    return (
        f"Say which folders are splits, as in --split-folders {answer}; say --split-folders none "
        f"if they are classes, or leave one out, as in {leave_out_options(doubtful[-1:])}"
    )
