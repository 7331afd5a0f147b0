"""Images of pets, three colours in class folders, packed in every way that people pack them."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

from attentune.runners.data import Dataset
from attentune.runners.recipe import Recipe
from PIL import Image

SHADES = {"cats": (200, 40, 40), "dogs": (40, 200, 40), "owls": (40, 40, 200)}
TWENTY = {"cats": 20, "dogs": 20, "owls": 20}
PACKINGS = ("folder", "tar", "tar.gz", "tgz", "zip")


def recipe(data: object, image_size: int = 8, **fields: object) -> Recipe:
    return Recipe.of(data=str(data), image_size=image_size, **fields)


def plain_image(
    colour: tuple[int, int, int], number: int, size: tuple[int, int] = (10, 12)
) -> Image:
    """One colour, with its number in the blue channel's lowest digits, so that files differ."""
    return Image.new("RGB", size, (colour[0], colour[1], (colour[2] + number) % 256))


def files(classes: dict[str, int], prefix: str = "", first: int = 0) -> dict[str, bytes]:
    """Names and contents of PNG files in class folders."""
    contents = {}
    for name, count in classes.items():
        for number in range(first, first + count):
            buffer = io.BytesIO()
            plain_image(SHADES[name], number).save(buffer, "PNG")
            contents[f"{prefix}{name}/{number:03}.png"] = buffer.getvalue()
    return contents


def folder(path: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


def archive(path: Path, contents: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive_file:
            for name, content in contents.items():
                archive_file.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive_file:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive_file.addfile(member, io.BytesIO(content))
    return path


def pack(where: Path, packing: str, contents: dict[str, bytes]) -> Path:
    if packing == "folder":
        return folder(where / "pets", contents)
    return archive(where / f"pets.{packing}", contents)


def files_by_split(data: Dataset) -> dict[str, set[tuple[int, int]]]:
    """Which files are in which split, recognised by their colour."""
    return {
        key: {(int(label), int(image[0, 0, 2])) for image, label in zip(*arrays, strict=True)}
        for key, arrays in (
            (key, (getattr(data, key).images, getattr(data, key).labels))
            for key in ("train", "val", "test")
        )
    }
