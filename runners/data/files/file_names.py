"""Which files of a data source are images, by their names, and why the others are left out.

Nothing is left out silently: a `Listing` counts every file that is not an image, by folder, reason
and suffix. Folders and files that operating systems and storage servers add (thumbnails, recycle
bins, checkpoints of notebooks) are no part of the data, even if they are images.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ..array_files import ARRAY_SUFFIXES
from ..images import SUFFIXES

SYSTEM_FOLDERS = frozenset((
    "__macosx", "$recycle.bin", "recycler", "system volume information", "lost+found",
    "network trash folder", "temporary items", "found.000", "@eadir", "#recycle", "#snapshot",
    "@recycle", "@recently-snapshot", "@tmp", "@__thumb", "@sharebin", "__pycache__",
    "attentune.artifacts",
))  # fmt: skip
"""Names, in lower case, of folders that systems, storage servers and attentune itself make. Those
that begin with a dot, such as `.@__thumb` and `.ipynb_checkpoints`, are hidden anyway."""
SYSTEM_FILES = frozenset((
    "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "iconcache.db", "icon\r",
    "picasa.ini", "zbthumbnail.info",
))  # fmt: skip
_SYSTEM_FILE_PREFIXES = ("synofile_thumb_", "synophoto_thumb_", "~$")
_UNREAD = """
heic heif hif avci jxl dng cr2 cr3 crw nef nrw arw srf sr2 raf orf rw2 pef srw raw x3f 3fr fff iiq
erf mef mos mrw kdc dcr psd psb xcf svg svgz ai eps ps pdf tga icb vda vst ico icns cur exr hdr pcx
dcx dds qoi xbm xpm sgi rgb rgba bw ras wmf emf fit fits dcm dicom nii npz mat h5 hdf hdf5 czi
nd2 svs ndpi lif mrxs jxr wdp jbig2 jng flif bpg mp4 mov avi mkv webm m4v flv mpg mpeg wmv 3gp
"""
UNREAD_SUFFIXES = frozenset(f".{suffix}" for suffix in _UNREAD.split())
"""Suffixes of images and videos in formats that are not read."""
_ARCHIVES = frozenset((".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar", ".zst"))
_PLAIN_SUFFIX = re.compile(r"\.\w{1,10}")
MAX_NAMED_SUFFIXES = 6
"""In one sentence."""


class Reason(StrEnum):
    """Why files are left out; completes "12 files …" in messages."""

    FORMAT = "in a format that is not read"
    NO_IMAGE = "that are not named as images"
    ARRAY = "that are arrays beside image files"
    ARCHIVE = "that are archives inside the data"
    HIDDEN = "with a hidden name or in a hidden folder"
    SYSTEM = "of the system or a storage server"
    LINK = "that are links to nothing, to a folder above, or out of the archive"
    LINK_LIMIT = (
        "that are links in an archive through more than 8 further links, or to more than 1,000,000 "
        "images (unpack it and give the folder)"
    )
    SPECIAL = "that are pipes, sockets or devices"
    OUTSIDE_NAME = "with a name that leads out of the archive"
    REPEATED = "with the name of another file in the archive"
    REQUESTED = "left out by --leave-out"
    NO_CLASS = "outside of class folders"
    NO_SPLIT = "in folders that --split-folders does not name"
    UNLABELLED = "in a split without class folders"
    BESIDE_SPLITS = "beside the splits"


@dataclass(frozen=True, order=True)
class LeftOutFiles:
    """Files of one folder that are left out for one reason.

    Attributes:
        folder: the path of the folder inside its store; empty for the top.
        reason: why.
        suffix: of their names in lower case, with its dot; empty if they have none.
        count: their number.
        example: the path of one of them.
    """

    folder: str
    reason: Reason
    suffix: str
    count: int
    example: str


@dataclass(frozen=True)
class Listing:
    """What a store holds.

    Attributes:
        images: the paths of the image files, in the order that is fastest to read.
        left_out: all other files, counted.
        folders: the paths of all folders, including empty ones; those of systems are left out.
    """

    images: tuple[str, ...]
    left_out: tuple[LeftOutFiles, ...]
    folders: tuple[str, ...]


class ListingBuilder:
    """Collects a `Listing` file by file, in memory that grows with images and folders only."""

    def __init__(self) -> None:
        self._images: dict[str, None] = {}
        self._left_out: dict[tuple[str, Reason, str], tuple[int, str]] = {}
        self._folders: set[str] = set()

    def add_image(self, path: str) -> None:
        """Record an image; a second one of the same name is left out."""
        if path in self._images:
            self.leave_out(path, Reason.REPEATED)
        else:
            self._images[path] = None
            self.add_folder(path.rpartition("/")[0])

    def add_folder(self, path: str) -> None:
        """Record a folder, which may be empty, and those that it is in."""
        while path and path not in self._folders:
            self._folders.add(path)
            path = path.rpartition("/")[0]

    def leave_out(self, path: str, reason: Reason) -> None:
        """Count a file that is left out.

        Those of systems, which may be many, are counted in the folder that holds all of them.
        """
        folder = path.rpartition("/")[0]
        if reason in _UNSEEN:
            folder = _visible_part(folder)
        else:
            self.add_folder(folder)
        key = (folder, reason, suffix_of(path))
        count, example = self._left_out.get(key, (0, path))
        self._left_out[key] = (count + 1, example)

    def build(self) -> Listing:
        """The listing, with the images in the order in which they were recorded."""
        for path in arrays_beside_images(self._images):
            del self._images[path]
            self.leave_out(path, Reason.ARRAY)
        left_out = (LeftOutFiles(*key, *facts) for key, facts in self._left_out.items())
        return Listing(tuple(self._images), tuple(sorted(left_out)), tuple(sorted(self._folders)))


def reason_to_leave_out(components: Sequence[str]) -> Reason | None:
    """Why a file is left out by its name; None for an image.

    Args:
        components: the names of the folders that it is in, and its own.
    """
    *folders, name = components
    for folder in folders:
        if (reason := reason_to_skip_folder(folder)) is not None:
            return reason
    lowered = name.lower()
    if lowered in SYSTEM_FILES or lowered.startswith(_SYSTEM_FILE_PREFIXES):
        return Reason.SYSTEM
    if name.startswith("."):
        return Reason.HIDDEN
    suffix = _suffix(lowered)
    if suffix in SUFFIXES or suffix in ARRAY_SUFFIXES:
        return None
    if suffix in UNREAD_SUFFIXES:
        return Reason.FORMAT
    return Reason.ARCHIVE if suffix in _ARCHIVES else Reason.NO_IMAGE


def is_array(path: str) -> bool:
    """Whether a file is an array, by its name."""
    return path.lower().endswith(ARRAY_SUFFIXES)


def arrays_beside_images(paths: Collection[str]) -> set[str]:
    """The arrays among images; none if all are arrays.

    Arrays are images only where there are no image files: beside these they usually are masks or
    features.
    """
    arrays = {path for path in paths if is_array(path)}
    return arrays if len(arrays) < len(paths) else set()


def reason_to_skip_folder(name: str) -> Reason | None:
    """Why a folder is no part of the data by its name; None if it may be."""
    lowered = name.lower()
    if lowered in SYSTEM_FOLDERS or lowered.startswith(".@__"):
        return Reason.SYSTEM
    return Reason.HIDDEN if name.startswith(".") else None


def suffix_of(path: str) -> str:
    """The suffix of a file in lower case, with its dot; empty if it has none."""
    suffix = _suffix(path.rpartition("/")[2].lower())
    return suffix if _PLAIN_SUFFIX.fullmatch(suffix) else ""


def _suffix(name: str) -> str:
    """As `PurePath.suffix`, which takes far longer."""
    dot = name.rfind(".")
    return name[dot:] if 0 < dot < len(name) - 1 else ""


def describe_left_out(left_out: Iterable[LeftOutFiles]) -> str:
    """How many files are left out, by reason and suffix, as in "20 .heic in a format …"."""
    by_reason: dict[Reason, Counter[str]] = {}
    for files in left_out:
        by_reason.setdefault(files.reason, Counter())[files.suffix] += files.count
    in_order = sorted(by_reason.items(), key=lambda item: list(Reason).index(item[0]))
    return ", ".join(f"{_describe_counts(counts)} {reason}" for reason, counts in in_order)


def _describe_counts(counts: Counter[str]) -> str:
    """As in "20 .heic and 3 .png", the most frequent first; the rest is summed up."""
    total = counts.total()
    if len(counts) > MAX_NAMED_SUFFIXES:
        shown = counts.most_common(MAX_NAMED_SUFFIXES - 1)
        words = [_describe_count(suffix, count) for suffix, count in shown]
        words.append(f"{total - sum(count for _, count in shown):,} others")
    else:
        words = [_describe_count(suffix, count) for suffix, count in counts.most_common()]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _describe_count(suffix: str, count: int) -> str:
    return f"{count:,} {suffix or ('file' if count == 1 else 'files') + ' without suffix'}"


def _visible_part(folder: str) -> str:
    """The path of a folder up to the first one that is hidden or of a system, inclusive."""
    components = folder.split("/")
    for number, name in enumerate(components, 1):
        if reason_to_skip_folder(name) is not None:
            return "/".join(components[:number])
    return folder


_UNSEEN = frozenset((Reason.HIDDEN, Reason.SYSTEM, Reason.OUTSIDE_NAME))
"""Reasons that make no folder a part of the data."""
