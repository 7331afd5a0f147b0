"""Class folders, however they are laid out and packed; and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from attentune.errors import DataError
from attentune.runners.data import (
    inspect_data,
    open_data,
    prepare_data,
)
from PIL import Image

from ..image_files import PACKINGS, SHADES, TWENTY, archive, files, folder, pack, recipe

LAYOUTS = {
    "class folders": files(TWENTY),
    "one folder around them": files(TWENTY, "pets/"),
    "two folders around them": files(TWENTY, "data/pets/"),
    "train alone": files(TWENTY, "train/"),
    "deeper images": {k.replace("/", "/2024/", 1): v for k, v in files(TWENTY).items()},
    "other files beside": {
        **files(TWENTY),
        "README.md": b"hello",
        "cover.png": b"no image of a class",
        ".git/x/1.png": b"hidden",
        "__MACOSX/cats/._1.png": b"rubbish",
        "cats/.hidden.png": b"hidden",
    },
    "unlabelled test": {**files(TWENTY, "train/"), "test/1.png": b"", "test/2.png": b""},
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_class_folders_are_found_however_they_are_packed(layout, packing, tmp_path):
    path = pack(tmp_path, packing, LAYOUTS[layout])
    info = prepare_data(recipe(path))
    assert info.classes == ("cats", "dogs", "owls")
    assert info.counts == {"train": 38, "val": 10, "test": 12}
    assert info.held_out == ("val", "test")
    data = open_data(info)
    for label, name in enumerate(info.classes):
        shown = data.train.images[data.train.labels == label]
        assert len(shown) in (12, 13)
        assert (shown[:, 3, 3, :2] == SHADES[name][:2]).all()


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(("val", "test"), [("val", "test"), ("validation", "Test"), ("valid", "")])
def test_splits_are_used_as_they_are(packing, val, test, tmp_path):
    contents = {**files(TWENTY, "train/"), **files({"cats": 3, "owls": 4}, f"{val}/", first=20)}
    if test:
        contents |= files({"dogs": 5}, f"{test}/", first=30)
    info = prepare_data(recipe(pack(tmp_path, packing, contents)))
    assert info.counts["val"] == 7
    if test:
        assert info.counts == {"train": 60, "val": 7, "test": 5}
        assert info.held_out == ()
    else:
        assert info.counts == {"train": 48, "val": 7, "test": 12}
        assert info.held_out == ("test",)


def test_a_class_called_train_is_a_class(tmp_path):
    packed = {name.replace("cats", "train"): content for name, content in files(TWENTY).items()}
    assert inspect_data(str(folder(tmp_path / "v", packed))).classes == ("dogs", "owls", "train")


# --- what is refused ------------------------------------------------------------------------------


def encrypted_zip(path: Path) -> Path:
    packed = archive(path / "pets.zip", files(TWENTY))
    raw = bytearray(packed.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = raw.find(signature)
        while at >= 0:
            raw[at + offset] |= 1
            at = raw.find(signature, at + 4)
    packed.write_bytes(raw)
    return packed


def half_archive(path: Path) -> Path:
    packed = archive(path / "pets.tar.gz", files(TWENTY))
    packed.write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
    return packed


def text_file(path: Path) -> Path:
    (path / "notes.txt").write_text("hello " * 300)
    return path / "notes.txt"


REFUSED = {
    "missing path": (lambda p: p / "nothing", "there is no file or folder"),
    "missing archive": (lambda _: "pets.tar.gz", "there is no file or folder 'pets.tar.gz'"),
    "unknown name": (lambda _: "digitz", "did you mean 'digits'"),
    "unlike any name": (lambda _: "zzz", "known: cluttered-digits, cued-digits, digits"),
    "empty folder": (lambda p: p, "holds no images"),
    "loose images": (
        lambda p: folder(p, {"1.png": b"", "2.png": b""}),
        "holds 2 images but no class folders",
    ),
    "one class": (lambda p: folder(p, files({"cats": 9})), "holds only one class"),
    "one image": (
        lambda p: folder(p, files({"cats": 9, "dogs": 1})),
        "class 'dogs' has 1 training image; at least 3 are needed",
    ),
    "one image, own splits": (
        lambda p: folder(p, {**files(TWENTY, "train/"), **files({"cats": 1}, "test/"),
                             "train/zebras/1.png": b""}),
        "class 'zebras' has 1 training image; at least 2 are needed",
    ),
    "class only in test": (
        lambda p: folder(p, {**files({"cats": 5, "dogs": 5}, "train/"),
                             **files({"owls": 2}, "test/")}),
        "test has a class 'owls' that train does not have",
    ),
    "no archive": (text_file, "neither a folder nor a readable archive"),
    "empty archive": (lambda p: archive(p / "e.tar", {}), "holds no images"),
    "empty zip": (lambda p: archive(p / "e.zip", {}), "holds no images"),
    "half an archive": (half_archive, "damaged or incomplete"),
    "encrypted": (encrypted_zip, "encrypted; unpack it"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_data_is_refused_in_plain_words(case, tmp_path):
    make, words = REFUSED[case]
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError) as caught:
        prepare_data(recipe(make(tmp_path / "data")))
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


# --- what is said ---------------------------------------------------------------------------------


def test_images_with_several_pages_are_said(tmp_path):
    path = folder(tmp_path / "pets", files({"cats": 3, "dogs": 3}))
    pages = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    pages[0].save(path / "cats" / "scan.tif", save_all=True, append_images=pages[1:])
    (remark,) = inspect_data(str(path)).remarks
    assert remark.startswith("pets: 1 of 7 sampled images have several frames or pages")


def test_channels_that_are_not_used_are_said(tmp_path):
    path = folder(tmp_path / "pets", files({"cats": 3, "dogs": 3}))
    Image.new("RGBX", (9, 9)).save(path / "cats" / "infrared.tif")
    Image.new("RGBA", (9, 9)).save(path / "cats" / "transparent.tif")
    (remark,) = inspect_data(str(path)).remarks
    assert remark.startswith("pets: 1 of 8 sampled images have more channels than RGB, which are")


def test_what_is_left_out_is_said_again_when_it_changes(tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    assert inspect_data(str(path)).remarks == ()
    (path / "cats" / "1.heic").write_bytes(b"")
    assert inspect_data(str(path)).remarks == (
        "left out of pets: 1 .heic in a format that is not read",
    )
    (path / "birds").mkdir()
    with pytest.raises(DataError, match="'birds'"):
        inspect_data(str(path))
