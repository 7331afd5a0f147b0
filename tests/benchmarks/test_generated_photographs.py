"""Generated photographs are always the same, and are written once."""

from __future__ import annotations

from attentune.benchmarks.generated_photographs import SIZES, draw_photograph, write_photographs
from PIL import Image


def test_photographs_are_the_same_again_and_are_not_written_twice(tmp_path):
    folder = write_photographs(tmp_path, 4, classes=2)
    contents = {file: file.read_bytes() for file in folder.rglob("*.*")}
    assert sorted(file.parent.name for file in contents) == ["class_00"] * 2 + ["class_01"] * 2
    assert all(20_000 < len(content) < 200_000 for content in contents.values())
    (folder / "class_01" / "000003.jpg").unlink()
    stamps = {file: file.stat().st_mtime_ns for file in folder.rglob("*.*")}
    write_photographs(tmp_path, 4, classes=2)
    assert {file: file.read_bytes() for file in folder.rglob("*.*")} == contents
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in stamps.items())
    with Image.open(folder / "class_00" / "000002.jpg") as image:
        assert (image.format, image.size) == ("JPEG", SIZES[2])
    assert draw_photograph(0).tobytes() != draw_photograph(6).tobytes()
