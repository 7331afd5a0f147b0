"""Image files in a folder on disk: `FolderStore`."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path

from ..content_hashes import Facts
from .file_content import raising_data_errors
from .file_names import Listing
from .folder_listing import ListedFiles, list_folder


class FolderStore:
    """A folder on disk. Links to folders are followed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def _listed(self) -> ListedFiles:
        """The images of the folder, and what else there is."""
        with raising_data_errors(self.path):
            return list_folder(self.path)

    @property
    def listing(self) -> Listing:
        """All images, sorted by name, and what else there is."""
        return self._listed.listing

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return self._listed.names

    @property
    def listed_ns(self) -> int:
        """When the folder was listed."""
        return self._listed.listed_ns

    def read_facts(self, names: Collection[str]) -> Facts:
        """Those of each file when the folder was listed."""
        if names is self.names:
            return self._listed.facts
        facts: Facts = self._listed.facts[[self._listed.rows[name] for name in names]]
        return facts

    @property
    def earlier_fingerprint(self) -> str:
        """The folder's path and a digest of the names, sizes and times of its files."""
        sizes_and_times = map(tuple, self._listed.facts[:, :2].tolist())
        files = dict(zip(self.names, sizes_and_times, strict=True))
        listing = hashlib.sha256(repr(files).encode()).hexdigest()
        return f"folder:{self.path.resolve()}:{listing}"

    @cached_property
    def fingerprint(self) -> str:
        """The folder's path and a digest of the names and facts of its images."""
        return f"folder:{self.path.resolve()}:{self._listed.digest}"

    @property
    def listing_fingerprint(self) -> str:
        """The fingerprint, and a digest of the folders and of what is left out."""
        listing = (self.listing.left_out, self.listing.folders)
        return f"{self.fingerprint}:{hashlib.sha256(repr(listing).encode()).hexdigest()}"

    def describe(self, name: str) -> str:
        """The file's path."""
        return str(self.path / name)

    def read_files(self, names: Collection[str]) -> Iterator[tuple[str, Path]]:
        """The paths of the files, which the decoding threads read."""
        for name in names:
            yield name, self.path / name

    def sample_names(self, count: int) -> list[str]:
        """Names at even distances."""
        return spread_sample(self.names, count)


def spread_sample(names: tuple[str, ...], count: int) -> list[str]:
    """Up to `count` names at even distances."""
    return list(names[:: max(1, len(names) // count)][:count])
