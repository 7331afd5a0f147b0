"""The folders of a store as a tree, and what their names say about splits."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ....errors import DataError
from ..dataset import SPLIT_NAMES, SplitName
from .file_names import Listing

LIKELY_SPLITS: dict[str, SplitName] = {
    **SPLIT_NAMES,
    **dict.fromkeys(("trn", "trainset", "traindata", "trainimages"), "train"),
    **dict.fromkeys(("dev", "devset", "development", "valset", "valdata", "valimages"), "val"),
    **dict.fromkeys(("eval", "evaluation", "evalset", "holdout", "heldout", "hold"), "test"),
    **dict.fromkeys(("tst", "testset", "testdata", "testimages"), "test"),
}
"""Words in the names of folders that may be splits, with the split that a question proposes."""
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
MAX_NAMED_FOLDERS = 4
"""In one sentence."""


def normal_name(name: str) -> str:
    """A name in Unicode's normal form C: macOS writes an é as two characters, others as one."""
    return unicodedata.normalize("NFC", name)


@dataclass
class Folder:
    """A folder with the number of images directly in it, and its sub-folders by name.

    All names are in Unicode's normal form C.
    """

    name: str
    path: tuple[str, ...]
    num_direct: int = 0
    children: dict[str, Folder] = field(default_factory=dict)

    @cached_property
    def num_images(self) -> int:
        """Images in it and below."""
        return self.num_direct + sum(child.num_images for child in self.children.values())

    @cached_property
    def with_images(self) -> list[Folder]:
        """Its sub-folders with images in them or below."""
        return [child for child in self.children.values() if child.num_images]

    @cached_property
    def without_images(self) -> list[Folder]:
        """Its other sub-folders."""
        return [child for child in self.children.values() if not child.num_images]

    @cached_property
    def classes(self) -> set[str]:
        """The names of the sub-folders that hold images."""
        return {child.name for child in self.with_images}

    @property
    def is_nested(self) -> bool:
        """Whether its images are mostly in sub-folders."""
        return 2 * self.num_direct < self.num_images

    @property
    def known_split(self) -> SplitName | None:
        """The split that its name means."""
        return SPLIT_NAMES.get(self.name.lower())

    @property
    def likely_split(self) -> SplitName | None:
        """The split that a word of its name suggests."""
        words = (word.lower() for word in _WORD.findall(self.name))
        return next((LIKELY_SPLITS[word] for word in words if word in LIKELY_SPLITS), None)


def build_tree(listing: Listing) -> Folder:
    """The top folder of a store, with all that are in it."""
    root = Folder("", ())
    counts = Counter(path.rpartition("/")[0] for path in listing.images)
    for path in sorted({*counts, *listing.folders}):
        folder = root
        for name in normal_name(path).split("/") if path else ():
            if name not in folder.children:
                folder.children[name] = Folder(name, (*folder.path, name))
            folder = folder.children[name]
        folder.num_direct += counts[path]
    return root


def outermost_level(tree: Folder, label: str) -> Folder:
    """The folder whose sub-folders are splits or classes: a single folder around them is ignored.

    Raises:
        DataError: beside that folder are others without images, which may be classes.
    """
    folder = tree
    while len(folder.with_images) == 1 and folder.with_images[0].with_images:
        (only,) = folder.with_images
        if folder.without_images:
            empty = list_folders(folder.without_images)
            raise DataError(
                f"{label}: only {only.name}/ holds images that can be read, {empty} holds none. "
                f"If the classes are inside {only.name}/, leave the rest out with "
                f"{leave_out_options(folder.without_images)}; else add or convert images"
            )
        folder = only
    return folder


def quote_names(names: Sequence[str]) -> str:
    """Some names in a sentence: `'a', 'b' and 3 more`."""
    quoted = ", ".join(repr(name) for name in names[:MAX_NAMED_FOLDERS])
    rest = len(names) - MAX_NAMED_FOLDERS
    return f"{quoted} and {rest} more" if rest > 0 else quoted


def list_folders(folders: Sequence[Folder]) -> str:
    """Some folders in a sentence: `a/, b/ and 3 more`."""
    names = [f"{folder.name}/" for folder in folders[:MAX_NAMED_FOLDERS]]
    rest = len(folders) - len(names)
    if rest > 0:
        return f"{', '.join(names)} and {rest} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def leave_out_options(folders: Sequence[Folder]) -> str:
    """The options that leave these folders out."""
    names = ("/".join(folder.path) for folder in folders[:MAX_NAMED_FOLDERS])
    return " ".join(f"--leave-out {shlex.quote(name)}" for name in names)


def folders_with_images(folder: Folder) -> Iterator[Folder]:
    """All folders below one that have images in them or below."""
    for child in folder.with_images:
        yield child
        yield from folders_with_images(child)
