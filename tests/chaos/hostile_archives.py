"""Archives, folders and images that are cut, damaged, enormous, or meant to do harm.

Each makes a data source in a folder. It holds sixty small images of three classes, and one hostile
thing. It either has to be refused, in a sentence that names it, or it has a known number of images.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import socket
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

IMAGES = 60
Make = Callable[[Path], Path]


@dataclass(frozen=True)
class HostileData:
    """A data source; `images` is how many it has, or None if it has to be refused."""

    label: str
    make: Make
    images: int | None


def image_files() -> dict[str, bytes]:
    """Sixty PNG files in three class folders."""
    contents = {}
    for name, colour in (("cats", 200), ("dogs", 120), ("owls", 40)):
        for number in range(IMAGES // 3):
            buffer = io.BytesIO()
            Image.new("RGB", (10, 12), (colour, number, 255 - colour)).save(buffer, "PNG")
            contents[f"{name}/{number:03}.png"] = buffer.getvalue()
    return contents


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds almost nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 10 10
%%EndComments
(/tmp/attentune-ghostscript-ran) (w) file closefile
showpage
%%EOF
"""
IMAGE_CONTENTS: dict[str, bytes] = {
    "an EPS image": EPS,
    "a PostScript program": b"%!PS\n(%pipe%id) (r) file\nshowpage\n",
    "a Photoshop document": b"8BPS\x00\x01"
    + bytes(6)
    + struct.pack(">HIIHH", 3, 9, 9, 8, 3)
    + bytes(99),
    "a FITS image": b"SIMPLE  =                    T".ljust(2880),
    "a Windows metafile": b"\xd7\xcd\xc6\x9a" + bytes(100),
    "an XPM image": b'/* XPM */\nstatic char *x[] = {"1 1 1 1","a c #000000","a"};',
    "an SVG with an entity": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><svg>&e;</svg>',
    "a PDF": b"%PDF-1.4\n%%EOF",
    "an HTML page": b"<html><script>alert(1)</script></html>",
    "nothing": b"",
    "zeros": bytes(5000),
    "a PNG of 60 000 × 60 000 pixels": png_header(60_000, 60_000),
    "a PNG of 12 000 × 12 000 pixels": png_header(12_000, 12_000),
    "a PNG of 2³¹ pixels in a row": png_header(2**31 - 1, 1),
    "a PNG without pixels": png_header(0, 0),
    "a PNG that is cut off": png_header(10, 10)[:40],
    "a GIF of 65 535 × 65 535 pixels": b"GIF89a\xff\xff\xff\xff\x80\x00\x00" + bytes(6) + b",",
    "a BMP of 2³⁰ pixels": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, 2**15, 2**15, 1, 24, 0, 0, 0, 0, 0, 0),
    "a PPM of 10⁵ × 10⁵ pixels": b"P6\n100000 100000\n255\n",
    "a PPM with a number of 5 000 digits": b"P6\n" + b"9" * 5000 + b" 1\n255\n",
    "a TIFF whose directory points at itself": b"II*\x00\x08\x00\x00\x00"
    + struct.pack("<HHHIII", 1, 256, 4, 1, 99999, 8),
}
"""What a file that is called `.png` may hold in place of a picture, by what it is."""


# Ways to pack files


def write_folder(top: Path, contents: dict[str, bytes]) -> Path:
    """A folder with these files."""
    for name, content in contents.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    return top


def tar_bytes(contents: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    """A tar with these files, and members without content before them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member in extra:
            archive.addfile(member)
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_bytes(contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip with these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _written(suffix: str, content: Callable[[], bytes]) -> Make:
    def make(folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"pets.{suffix}"
        path.write_bytes(content())
        return path

    return make


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def _special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


# Tars


def _member_ends() -> tuple[bytes, list[int]]:
    whole = tar_bytes(image_files())
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        members = archive.getmembers()
    return whole, [member.offset for member in members]


def _cut_between_members() -> bytes:
    whole, starts = _member_ends()
    return whole[: starts[40]]


def _damaged_header() -> bytes:
    whole, starts = _member_ends()
    return whole[: starts[30]] + b"\xff" * 512 + whole[starts[30] + 512 :]


def _only_one_block_of_zeros() -> bytes:
    whole, _ = _member_ends()
    return whole.rstrip(b"\0").ljust(-(-len(whole.rstrip(b"\0")) // 512) * 512, b"\0") + bytes(512)


def _huge_pax_header(size: int, content: bytes) -> bytes:
    return _header("x", size, tarfile.XHDTYPE) + content + tar_bytes(image_files())


def _gzip_repeated(chunk: bytes, times: int, first: bytes = b"", last: bytes = b"") -> bytes:
    """A gzip file of many parts, each of which is decompressed in turn."""
    return gzip.compress(first) + gzip.compress(chunk, 1) * times + gzip.compress(last)


MIB = 2**20


def _tars() -> Iterator[tuple[str, str, Callable[[], bytes], int | None]]:
    files = image_files()
    whole = tar_bytes(files)
    yield "cut between two members", "tar", _cut_between_members, None
    yield "cut inside a header", "tar", lambda: _cut_between_members() + whole[:200], None
    yield "cut after a header", "tar", lambda: _cut_between_members() + whole[:512], None
    yield "cut inside an image", "tar", lambda: _cut_between_members() + whole[:600], None
    yield "no end", "tar", lambda: whole.rstrip(b"\0"), None
    yield "one block of zeros at the end", "tar", _only_one_block_of_zeros, IMAGES
    yield "zeros after the end", "tar", lambda: whole + bytes(100_000), IMAGES
    yield "a damaged header", "tar", _damaged_header, None
    yield "garbage", "tar", lambda: random.Random(0).randbytes(100_000), None
    yield "empty", "tar", lambda: b"", None
    yield "only an end", "tar", lambda: bytes(1024), None
    for suffix, compress in (("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)):
        yield f"{suffix}, cut", f"tar.{suffix}", lambda c=compress: c(whole)[:-30], None
        yield (
            f"{suffix}, cut between members",
            f"tar.{suffix}",
            lambda c=compress: c(_cut_between_members()),
            None,
        )
        yield (
            f"{suffix}, a flipped byte",
            f"tar.{suffix}",
            lambda c=compress: _flipped(c(whole)),
            None,
        )
    sparse = _header("cats/a.png", 512, tarfile.GNUTYPE_SPARSE)
    yield "a sparse file", "tar", lambda: sparse + bytes(512) + whole, None
    yield "a file that claims 8 TB", "tar", lambda: _header("cats/a.png", 8 * 2**40) + whole, None
    yield (
        "a file that claims 200 MB",
        "tar.gz",
        lambda: _gzip_repeated(bytes(MIB), 200, _header("cats/a.png", 200 * MIB), whole),
        None,
    )
    yield (
        "a bomb of 16 GB",
        "tar.gz",
        lambda: _gzip_repeated(bytes(16 * MIB), 1000, _header("a.bin", 16_000 * MIB), whole),
        None,
    )
    yield (
        "a bomb of a million empty files",
        "tar.gz",
        lambda: _gzip_repeated(_header("cats/a.txt", 0) * 20_000, 50, b"", whole),
        None,
    )
    yield "a header of 4 GB", "tar", lambda: _huge_pax_header(2**32, b""), None
    digits = b"1" * (MIB - 512)
    yield "a header of a million digits", "tar", lambda: _huge_pax_header(len(digits), digits), None
    yield (
        "a header of a name of 900 kB",
        "tar",
        lambda: tar_bytes({"cats/" + "x" * 900_000 + ".png": b"x", **files}),
        None,
    )
    yield (
        "2 000 headers of one file",
        "tar",
        lambda: (_header("x", 100, tarfile.GNUTYPE_LONGNAME) + bytes(512)) * 2000 + whole,
        None,
    )
    yield (
        "a name of 1 000 folders",
        "tar",
        lambda: tar_bytes({"a/" * 1000 + "1.png": b"x", **files}),
        None,
    )
    links = [
        _special("cats/link.png", tarfile.SYMTYPE, "/etc/passwd"),
        _special("cats/hard.png", tarfile.LNKTYPE, "../../etc/passwd"),
        _special("cats/pipe.png", tarfile.FIFOTYPE),
        _special("cats/zero.png", tarfile.CHRTYPE),
    ]
    yield "links, a pipe and a device", "tar", lambda: tar_bytes(files, *links), IMAGES
    outside = {"../cats/x.png": b"x", "/cats/y.png": b"x", "cats/../../z.png": b"x"}
    yield "names outside", "tar", lambda: tar_bytes({**files, **outside}), IMAGES
    yield (
        "a class that is not UTF-8",
        "tar",
        lambda: tar_bytes(_with_class(files, "caf\udce9")),
        IMAGES + 20,
    )
    yield (
        "a class of escape sequences",
        "tar",
        lambda: tar_bytes(_with_class(files, "\x1b]0;x\x07\u202e")),
        IMAGES + 20,
    )


def _with_class(files: dict[str, bytes], name: str) -> dict[str, bytes]:
    copies = {f"{name}/{k.split('/')[1]}": v for k, v in files.items() if k.startswith("cats/")}
    return {**files, **copies}


def _flipped(content: bytes, position: int | None = None) -> bytes:
    middle = len(content) // 2 if position is None else position
    return content[:middle] + bytes([content[middle] ^ 0xFF]) + content[middle + 1 :]


# Zips


def _patched(
    content: bytes, field: int, value: bytes, *, first: int = 0, every: bool = True
) -> bytes:
    """A zip in whose central directory a field (by its offset in an entry) is replaced."""
    patched, position = bytearray(content), content.index(b"PK\x01\x02")
    number = 0
    while (position := content.find(b"PK\x01\x02", position)) >= 0:
        if number == first or (every and number > first):
            patched[position + field : position + field + len(value)] = value
        position, number = position + 4, number + 1
    return bytes(patched)


def _overlapping() -> bytes:
    """All entries of the directory are the same compressed 8 MiB."""
    contents = {f"cats/{number}.png": b"" for number in range(2000)}
    whole = zip_bytes({"cats/bomb.png": bytes(8 * MIB), **contents, **image_files()})
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        bomb = archive.getinfo("cats/bomb.png")
    sizes = struct.pack("<III", bomb.CRC, bomb.compress_size, bomb.file_size)
    whole = _patched(whole, 10, struct.pack("<H", 8))
    return _patched(_patched(whole, 16, sizes), 42, bytes(4))


def _zips() -> Iterator[tuple[str, str, Callable[[], bytes], int | None]]:
    files = image_files()
    whole = zip_bytes(files)
    yield "cut", "zip", lambda: whole[: len(whole) // 2], None
    yield "without its last byte", "zip", lambda: whole[:-1], None
    yield "empty", "zip", lambda: zip_bytes({}), None
    yield "a directory of zeros", "zip", lambda: _patched(whole, 0, bytes(30)), None
    yield "encrypted", "zip", lambda: _patched(whole, 8, b"\x01\x00"), None
    yield "an unknown compression", "zip", lambda: _patched(whole, 10, b"\x63\x00"), None
    yield (
        "a file that claims 4 GB",
        "zip",
        lambda: _patched(whole, 24, b"\xf0\xff\xff\xff", every=False),
        None,
    )
    yield (
        "files that claim 100 MB each",
        "zip",
        lambda: _patched(whole, 24, struct.pack("<I", 10**8)),
        None,
    )
    yield (
        "a file that claims one byte",
        "zip",
        lambda: _patched(whole, 24, b"\x01\x00\x00\x00", every=False),
        None,
    )
    yield "a wrong checksum", "zip", lambda: _patched(whole, 16, bytes(4), every=False), None
    yield (
        "an entry that points nowhere",
        "zip",
        lambda: _patched(whole, 42, b"\xff\xff\xff\x7f", every=False),
        None,
    )
    yield "overlapping entries", "zip", _overlapping, None
    yield (
        "20 bombs of 100 MB",
        "zip",
        lambda: zip_bytes({f"cats/{n}.png": bytes(5 * MIB) for n in range(60)} | files),
        None,
    )
    yield (
        "a flipped byte in an image",
        "zip",
        lambda: _flipped(zip_bytes(files, zipfile.ZIP_STORED)),
        None,
    )
    yield (
        "names outside",
        "zip",
        lambda: zip_bytes(
            {**files, "../cats/x.png": b"", "/cats/y.png": b"", "cats\\..\\..\\z.png": b""}
        ),
        IMAGES,
    )
    yield (
        "a name of 1 000 folders",
        "zip",
        lambda: zip_bytes({"a/" * 1000 + "1.png": b"x", **files}),
        None,
    )
    yield "a zip inside", "zip", lambda: zip_bytes({"cats/inner.zip": whole, **files}), IMAGES
    for suffix, method in (("bz2", zipfile.ZIP_BZIP2), ("lzma", zipfile.ZIP_LZMA)):
        yield (
            f"{suffix}, a flipped byte",
            "zip",
            lambda m=method: _flipped(zip_bytes(files, m), 80),
            None,
        )
        yield f"{suffix}", "zip", lambda m=method: zip_bytes(files, m), IMAGES


# Folders


def _folder_with(change: Callable[[Path], object]) -> Make:
    def make(folder: Path) -> Path:
        top = write_folder(folder / "pets", image_files())
        change(top)
        return top

    return make


def _add_sibling_links(top: Path) -> None:
    for name in "abcdefghi":
        (top / name).mkdir()
        for other in "abcdefghi":
            (top / name / f"to-{other}").symlink_to(top / other)


def _add_loop(top: Path) -> None:
    (top / "cats" / "self").symlink_to(top / "cats" / "self")
    (top / "cats" / "up").symlink_to(top)
    (top / "cats" / "dogs").symlink_to(top / "dogs" / "cats")
    (top / "dogs" / "cats").symlink_to(top / "cats" / "dogs")


def _add_deep_folders(top: Path) -> None:
    deep = top / "cats" / "/".join("x" * 900)
    deep.mkdir(parents=True)


def _add_socket(top: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        here = Path.cwd()
        os.chdir(top / "cats")  # The path of a socket is limited to about 100 characters.
        try:
            opened.bind("socket.png")
        finally:
            os.chdir(here)


def _add_sparse(top: Path) -> None:
    with (top / "cats" / "sparse.png").open("wb") as file:
        file.truncate(2**40)


def _pipe(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / "pets.tar")
    return folder / "pets.tar"


def _link_to_zeros(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pets.tar").symlink_to("/dev/zero")
    return folder / "pets.tar"


def _folders() -> Iterator[tuple[str, Make, int | None]]:
    yield "a pipe", _pipe, None
    yield "a link to /dev/zero", _link_to_zeros, None
    yield "a pipe among images", _folder_with(lambda top: os.mkfifo(top / "cats/pipe.png")), IMAGES
    yield (
        "a link to a device among images",
        _folder_with(lambda top: (top / "cats/zero.png").symlink_to("/dev/zero")),
        IMAGES,
    )
    yield "a socket among images", _folder_with(_add_socket), IMAGES
    yield (
        "a broken link",
        _folder_with(lambda top: (top / "cats/gone.png").symlink_to("gone")),
        IMAGES,
    )
    yield "links in circles", _folder_with(_add_loop), None
    yield "nine folders that link to one another", _folder_with(_add_sibling_links), None
    yield "900 folders inside one another", _folder_with(_add_deep_folders), None
    yield "a sparse file of 1 TB", _folder_with(_add_sparse), None
    yield (
        "a class that is not UTF-8",
        lambda folder: write_folder(folder / "pets", _with_class(image_files(), "caf\udce9")),
        IMAGES + 20,
    )
    yield (
        "a class of escape sequences",
        lambda folder: write_folder(folder / "pets", _with_class(image_files(), "\x1b]0;x\x07\nb")),
        IMAGES + 20,
    )
    yield (
        "a folder called like an image",
        _folder_with(lambda top: (top / "cats/folder.png").mkdir()),
        IMAGES,
    )
    if os.geteuid():
        yield (
            "a file that may not be read",
            _folder_with(lambda top: (top / "cats/000.png").chmod(0)),
            None,
        )
        yield (
            "a folder that may not be read",
            _folder_with(lambda top: (top / "cats").chmod(stat.S_IWUSR)),
            None,
        )


def _all() -> Iterator[HostileData]:
    for kind, packed in (("tar", _tars), ("zip", _zips)):
        for label, suffix, content, images in packed():
            yield HostileData(f"{kind}: {label}", _written(suffix, content), images)
    for label, make, images in _folders():
        yield HostileData(f"folder: {label}", make, images)
    for label, content in IMAGE_CONTENTS.items():
        files = {**image_files(), "cats/hostile.png": content}
        yield HostileData(f"image: {label}", _written("zip", lambda f=files: zip_bytes(f)), None)
        yield HostileData(
            f"image in a folder: {label}",
            lambda folder, f=files: write_folder(folder / "pets", f),
            None,
        )


HOSTILE_DATA = {data.label: data for data in _all()}
"""All hostile data sources by their labels."""


def mutated_archive(packing: str, random_numbers: random.Random) -> bytes:
    """A tar or zip of images, compressed or not, in which bytes were changed, cut out or added."""
    contents = image_files()
    pack: dict[str, Callable[[], bytes]] = {
        "tar": lambda: tar_bytes(contents),
        "tar.gz": lambda: gzip.compress(tar_bytes(contents), 1),
        "tar.bz2": lambda: bz2.compress(tar_bytes(contents)),
        "tar.xz": lambda: lzma.compress(tar_bytes(contents)),
        "zip": lambda: zip_bytes(contents),
    }
    content = bytearray(pack[packing]())
    for _ in range(random_numbers.randint(1, 8)):
        if not content:
            break
        position = random_numbers.randrange(len(content))
        match random_numbers.randrange(4):
            case 0:
                content[position] ^= 1 << random_numbers.randrange(8)
            case 1:
                length = random_numbers.randint(1, 64)
                content[position : position + length] = random_numbers.randbytes(length)
            case 2:
                del content[position : position + random_numbers.choice((1, 7, 512, 3000))]
            case _:
                content[position:position] = random_numbers.randbytes(
                    random_numbers.choice((1, 512))
                )
    return bytes(content)
