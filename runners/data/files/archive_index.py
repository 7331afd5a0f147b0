"""What an archive holds: its members by path, with its links followed.

A hard link in a tar stands for the content of an earlier file: a folder in
which a photograph lies twice under one inode is packed in this way. Symbolic links are followed to
a file or a folder of the same archive, through at most `MAX_LINKS_IN_CHAIN` further links. What
leads elsewhere, or beyond the limits, is left out and counted.
"""

from __future__ import annotations

import posixpath
from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

from .file_names import (
    Listing,
    ListingBuilder,
    Reason,
    reason_to_leave_out,
    reason_to_skip_folder,
)

MAX_NAME_FOLDERS = 64
MAX_NAME_CHARACTERS = 4096
MAX_LINKS_IN_CHAIN = 8
MAX_FILES_THROUGH_LINKS = 1_000_000
"""Images that links to folders may add."""


@dataclass(frozen=True)
class IndexedArchive:
    """The listing of an archive, and the path of the member that holds each image."""

    listing: Listing
    members: dict[str, str]


class ArchiveIndex:
    """Collects the members of an archive in its order."""

    def __init__(self) -> None:
        self._builder = ListingBuilder()
        self._files: dict[str, None] = {}
        self._links: dict[str, str | None] = {}

    def add_file(self, name: str) -> str | None:
        """Record a file; return its path, or None if its name leads out of the archive."""
        path = self._check_path(name)
        if path is not None:
            if path in self._files:
                self._builder.leave_out(path, Reason.REPEATED)
                return None
            self._files[path] = None
        return path

    def add_folder(self, name: str) -> None:
        """Record a folder."""
        path = member_path(name)
        if path is not None and not any(map(reason_to_skip_folder, path.split("/"))):
            self._builder.add_folder(path)

    def add_link(self, name: str, target: str | None) -> None:
        """Record a symbolic link; its target is relative to its folder, or None if unknown."""
        path = self._check_path(name)
        if path is not None:
            folder = posixpath.dirname(path)
            self._links[path] = None if target is None else _inside(posixpath.join(folder, target))

    def add_hard_link(self, name: str, target: str) -> None:
        """Record a hard link; its target is the name of a member."""
        path = self._check_path(name)
        if path is not None:
            self._links[path] = _inside(target)

    def add_special(self, name: str) -> None:
        """Record a pipe or a device."""
        path = self._check_path(name)
        if path is not None:
            self._builder.leave_out(path, Reason.SPECIAL)

    def build(self) -> IndexedArchive:
        """The index, once all members are recorded."""
        members: dict[str, str] = {}
        for path in self._files:
            self._add(path, path, members)
        for path in self._links:
            self._follow_link(path, members)
        return IndexedArchive(self._builder.build(), members)

    def _check_path(self, name: str) -> str | None:
        path = member_path(name)
        if path is None:
            self._builder.leave_out(name.replace("/", "\\"), Reason.OUTSIDE_NAME)
        return path

    def _add(self, path: str, member: str, members: dict[str, str]) -> None:
        """Record an image or another file at `path`, whose content is that of `member`."""
        reason = reason_to_leave_out(path.split("/"))
        if reason is not None:
            self._builder.leave_out(path, reason)
            return
        self._builder.add_image(path)
        members.setdefault(path, member)

    def _follow_link(self, path: str, members: dict[str, str]) -> None:
        target = self._links[path]
        for _ in range(MAX_LINKS_IN_CHAIN):
            if target not in self._links:
                break
            target = self._links[target]
        if target in self._files:
            self._add(path, target, members)
            return
        inside = [] if target is None else self._files_below(target)
        num_images = len(members) + len(inside)
        if target in self._links or num_images > len(self._files) + MAX_FILES_THROUGH_LINKS:
            self._builder.leave_out(path, Reason.LINK_LIMIT)
            return
        if not inside:
            self._builder.leave_out(path, Reason.LINK)
        for file in inside:
            self._add(path + file.removeprefix(target or ""), file, members)

    @cached_property
    def _sorted_files(self) -> list[str]:
        return sorted(self._files)

    def _files_below(self, folder: str) -> list[str]:
        first = bisect_left(self._sorted_files, f"{folder}/")
        last = bisect_left(self._sorted_files, f"{folder}0")  # 0 follows / in the order of strings.
        return self._sorted_files[first:last]


def member_path(name: str) -> str | None:
    """A member's name as a relative path; None if it leads out of the archive.

    Raises:
        ValueError: the name is longer than names of files are.
    """
    if len(name) > MAX_NAME_CHARACTERS or name.count("/") > MAX_NAME_FOLDERS:
        raise ValueError(f"the name of a file has {len(name):,} characters")
    components = PurePosixPath(name.replace("\\", "/")).parts
    if not components or components[0] == "/" or ".." in components:
        return None
    return "/".join(components)


def _inside(target: str) -> str | None:
    """The path of a link's target; None if it is outside of the archive."""
    path = posixpath.normpath(target.replace("\\", "/"))
    return None if path.startswith(("/", "..")) or path == "." else path
