"""Read the members of a tar in order, within limits, and notice that it is incomplete.

A tar has no list of its members: its end is marked by two blocks of zeros. Python's `tarfile` takes
any block that is no header, and the end of the file, for the end of the archive. So a tar that was
cut off between two members, or damaged at a header, would look complete. Here both are errors.

A small compressed file can expand to any size, and a header can claim any size. So decompressed
bytes are counted as they are read, and the size of a header is limited. The caller limits what it
reads of a member.
"""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Literal, cast

from ....errors import DataError

EXPANSION_FREE_BYTES = 256 * 2**20
MAX_EXPANSION = 100
"""An archive may expand to `EXPANSION_FREE_BYTES`, and a larger one to `MAX_EXPANSION` times its
size. Images are compressed already, so archives of them hardly expand."""
FREE_MEMBERS = 100_000
MIN_MEMBER_BYTES = 32
"""A compressed archive of more than `FREE_MEMBERS` members has this many bytes for each."""
MAX_HEADER_BYTES = 2**20
MAX_DIGITS = 1000
_DIGITS = re.compile(rb"\d++")
_READ_BYTES = 2**20
_OPENERS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""By the first bytes of a compressed file."""


def expansion_limit(path: Path) -> int:
    """The number of bytes that an archive may expand to."""
    return max(EXPANSION_FREE_BYTES, MAX_EXPANSION * path.stat().st_size)


@dataclass(frozen=True)
class TarMember:
    """One member of a tar.

    Attributes:
        name: its path as it is written in the tar.
        kind: what it is; a link is symbolic, and a hard link stands for an earlier file.
        size: of a file's content, bytes.
        read: reads the content of a file.
        target: where a link leads, as it is written in the tar.
    """

    name: str
    kind: Literal["file", "folder", "link", "hard link", "special"]
    size: int
    read: Callable[[], bytes]
    target: str = ""


def is_tar(path: Path) -> bool:
    """Whether a file is a tar, compressed or not."""
    with ExitStack() as stack:
        try:
            _open(path, stack)
        except tarfile.ReadError:
            return False
    return True


def read_members(path: Path) -> Iterator[TarMember]:
    """The members of a tar, in its order. Each is read before the next one is asked for.

    Raises:
        DataError: it has no end marker, is damaged at a header, or expands too far.
        Exception: `tarfile` and the decompressors raise anything on damaged input.
    """
    with ExitStack() as stack:
        archive, stream = _open(path, stack)
        for number in itertools.count(1):
            if (member := archive.next()) is None:
                break
            stream.check_count(number)
            archive.members.clear()  # type: ignore[attr-defined]  # All would stay in memory.
            if member.issparse():
                raise DataError(f"{path}:{member.name} is stored as a sparse file. {PACK_AGAIN}")
            read = partial(stream.read_content, member.offset_data, member.size)
            yield TarMember(member.name, _kind_of(member), member.size, read, member.linkname)
        if not stream.last_read:
            raise DataError(f"{path} is cut off: it has no mark of a tar's end. {PACK_AGAIN}")
        if any(stream.last_read):
            raise DataError(f"{path} is damaged at byte {archive.offset:,}. {PACK_AGAIN}")
        stream.read_to_end()


def _kind_of(member: tarfile.TarInfo) -> Literal["file", "folder", "link", "hard link", "special"]:
    if member.isreg():
        return "file"
    if member.isdir():
        return "folder"
    if member.islnk():
        return "hard link"
    return "link" if member.issym() else "special"


PACK_AGAIN = "Fetch or pack it again"


def _open(path: Path, stack: ExitStack) -> tuple[tarfile.TarFile, _BoundedReader]:
    """The archive and the stream that it reads; both are closed with the stack."""
    file: IO[bytes] = stack.enter_context(path.open("rb"))
    head = file.read(6)
    opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
    if opener is None:
        stream = _BoundedReader(file, path, path.stat().st_size, seekable=True)
    else:
        file.seek(0)
        decompressed: Any = stack.enter_context(opener(file, "rb"))
        stream = _BoundedReader(decompressed, path, expansion_limit(path), seekable=False)
    archive = tarfile.TarFile.open(fileobj=cast(IO[bytes], stream), mode="r:")
    return stack.enter_context(archive), stream


class _BoundedReader:
    """What `tarfile` needs of a file. Whatever exceeds a limit raises DataError.

    Args:
        file: to read from.
        path: of the archive, for messages.
        limit: how many bytes the file may have.
        seekable: move forward by seeking in the file, instead of reading up to the new position.

    Attributes:
        last_read: what `tarfile` has read last.
    """

    mode = "rb"

    def __init__(self, file: IO[bytes], path: Path, limit: int, *, seekable: bool) -> None:
        self.name = str(path)
        self._file, self._limit, self._seekable = file, limit, seekable
        self._file.seek(0)
        self.last_read = b""

    def tell(self) -> int:
        """The position in bytes."""
        return self._file.tell()

    def read(self, size: int) -> bytes:
        """Read a header."""
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise DataError(f"{self.name} has a header of {size:,} bytes. {PACK_AGAIN}")
        self.last_read = self._file.read(size)
        self._check()
        # tarfile searches headers with a pattern that takes minutes for a long run of digits.
        if size > tarfile.BLOCKSIZE and any(
            len(digits) > MAX_DIGITS for digits in _DIGITS.findall(self.last_read)
        ):
            raise DataError(f"{self.name} has a damaged header. {PACK_AGAIN}")
        return self.last_read

    def read_content(self, position: int, size: int) -> bytes:
        """Read the content of a member.

        Args:
            position: where it begins.
            size: its length in bytes.
        """
        self.seek(position)
        content = self._file.read(size)
        self._check()
        if len(content) < size:
            raise DataError(f"{self.name} is cut off. {PACK_AGAIN}")
        return content

    def seek(self, position: int) -> int:
        """Move to a position; return it, or the end of the file if that is before it."""
        if self._seekable or position < self._file.tell():
            return self._file.seek(position)
        while (missing := position - self._file.tell()) > 0:
            if not self._file.read(min(missing, _READ_BYTES)):
                break
            self._check()
        return self._file.tell()

    def read_to_end(self) -> None:
        """Read what is left, so that a decompressor checks its sums."""
        while not self._seekable and self._file.read(_READ_BYTES):
            self._check()

    def check_count(self, num_members: int) -> None:
        """Raise DataError if a compressed archive has more members than its bytes can hold."""
        allowed = max(FREE_MEMBERS, self._limit // MAX_EXPANSION // MIN_MEMBER_BYTES)
        if not self._seekable and num_members > allowed:
            raise DataError(
                f"{self.name} has more than {allowed:,} files, which is far more than images of "
                "its size. If that is right, unpack it and give the folder"
            )

    def _check(self) -> None:
        if self._file.tell() <= self._limit:
            return
        if self._seekable:
            raise DataError(f"{self.name} is cut off. {PACK_AGAIN}")
        raise DataError(
            f"{self.name} expands to more than {self._limit:,} bytes, which is far more than "
            "images do. If that is right, unpack it and give the folder"
        )
