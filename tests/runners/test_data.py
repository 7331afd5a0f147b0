"""Data from every source: embedded digits, folders, archives, timm's names; and what is refused."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from attentune.errors import DataError
from attentune.runners.data import (
    DataInfo,
    Dataset,
    Split,
    inspect_data,
    load_data,
    open_data,
    prepare_data,
)
from attentune.runners.recipe import Recipe
from PIL import Image

EMBEDDED = ("digits", "cluttered-digits", "cued-digits")
SHADES = {"cats": (200, 40, 40), "dogs": (40, 200, 40), "owls": (40, 40, 200)}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Every test has a cache of its own."""
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def embedded_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture
def embedded(embedded_cache, monkeypatch):
    """Embedded data is drawn once for all tests."""
    monkeypatch.setenv("ATTENTUNE_CACHE", str(embedded_cache))


def recipe(data: object, image_size: int = 8, **fields: object) -> Recipe:
    return Recipe.of(data=str(data), image_size=image_size, **fields)


def picture(colour: tuple[int, int, int], number: int, size: tuple[int, int] = (10, 12)) -> Image:
    """One colour, with its number in the blue channel's lowest digits, so that files differ."""
    return Image.new("RGB", size, (colour[0], colour[1], (colour[2] + number) % 256))


def files(classes: dict[str, int], prefix: str = "", first: int = 0) -> dict[str, bytes]:
    """Names and contents of PNG files in class folders."""
    made = {}
    for name, count in classes.items():
        for number in range(first, first + count):
            buffer = io.BytesIO()
            picture(SHADES[name], number).save(buffer, "PNG")
            made[f"{prefix}{name}/{number:03}.png"] = buffer.getvalue()
    return made


def folder(path: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return path


def archive(path: Path, contents: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as made:
            for name, content in contents.items():
                made.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as made:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return path


def names(data: Dataset) -> dict[str, set[tuple[int, int]]]:
    """Which files are in which split, told by colour."""
    return {
        key: {(int(label), int(image[0, 0, 2])) for image, label in zip(*arrays, strict=True)}
        for key, arrays in (
            (key, (getattr(data, key).images, getattr(data, key).labels))
            for key in ("train", "val", "test")
        )
    }


def same(one: Split, other: Split) -> bool:
    return np.array_equal(one.images, other.images) and np.array_equal(one.labels, other.labels)


TWENTY = {"cats": 20, "dogs": 20, "owls": 20}

# --- embedded -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_has_its_numbers_and_sizes(name, embedded):
    info = inspect_data(name)
    assert (info.native_size, info.image_size) == (36, 36)
    data = load_data(recipe(name, info.image_size))
    assert [len(s) for s in (data.train, data.val, data.test)] == [6000, 2000, 2000]
    assert data.train.images.shape == (6000, 36, 36, 3)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int64
    assert data.classes == tuple("0123456789")
    assert not data.flip
    assert data.crop <= 2
    assert min(np.bincount(data.train.labels)) > 400


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_is_drawn_the_same_again(name, embedded, tmp_path, monkeypatch):
    one = load_data(recipe(name, 36))
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path))
    two = load_data(recipe(name, 36))
    assert same(one.train, two.train)
    assert same(one.test, two.test)


def test_no_scan_is_in_two_splits():
    from attentune.runners.data.embedded import _scans

    scans = [{p.tobytes() for p in _scans(split).pictures} for split in ("train", "val", "test")]
    assert sum(map(len, scans)) == 1797
    assert len(set.union(*scans)) == 1797


def test_digits_are_recognised_by_their_nearest_neighbour(embedded):
    data = load_data(recipe("digits", 36))

    def coarse(split: Split, count: int) -> np.ndarray:
        grey = split.images[:count, ..., 0].astype(np.float32)
        return grey.reshape(count, 12, 3, 12, 3).mean((2, 4)).reshape(count, -1)

    train, test = coarse(data.train, 3000), coarse(data.test, 300)
    distance = (train**2).sum(1) - 2 * test @ train.T
    guessed = data.train.labels[distance.argmin(1)]
    assert (guessed == data.test.labels[:300]).mean() > 0.85


def test_the_tint_of_cued_digits_points_at_one_hue(embedded):
    data = load_data(recipe("cued-digits", 36))
    images = data.train.images.astype(np.float32) / 255
    # The darkest fifth of every channel is background: there the cued channel is brighter.
    background = np.sort(images.reshape(len(images), -1, 3), axis=1)[:, :650].mean(1)
    ordered = np.sort(background, axis=1)
    assert (ordered[:, 2] - ordered[:, 1]).mean() > 3 * (ordered[:, 1] - ordered[:, 0]).mean()
    assert min(np.bincount(background.argmax(1), minlength=3)) > 1500


def test_embedded_data_can_be_drawn_at_another_size_and_limited(embedded):
    data = load_data(recipe("cluttered-digits", 24, train_limit=500))
    assert data.train.images.shape == (400, 24, 24, 3)
    assert (len(data.val), len(data.test)) == (100, 2000)


# --- folders and archives -------------------------------------------------------------------------

LAYOUTS = {
    "class folders": files(TWENTY),
    "one folder around them": files(TWENTY, "pets/"),
    "two folders around them": files(TWENTY, "data/pets/"),
    "train alone": files(TWENTY, "train/"),
    "deeper pictures": {k.replace("/", "/2024/", 1): v for k, v in files(TWENTY).items()},
    "other files beside": {
        **files(TWENTY),
        "README.md": b"hello",
        "cover.png": b"no picture of a class",
        ".git/x/1.png": b"hidden",
        "__MACOSX/cats/._1.png": b"rubbish",
        "cats/.hidden.png": b"hidden",
    },
    "unlabelled test": {**files(TWENTY, "train/"), "test/1.png": b"", "test/2.png": b""},
}
PACKINGS = ("folder", "tar", "tar.gz", "tgz", "zip")


def pack(where: Path, packing: str, contents: dict[str, bytes]) -> Path:
    if packing == "folder":
        return folder(where / "pets", contents)
    return archive(where / f"pets.{packing}", contents)


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


def test_a_folder_of_split_archives_is_one_data_set(tmp_path):
    archive(tmp_path / "set/train.tar.gz", files(TWENTY, "train/"))
    archive(tmp_path / "set/test.zip", files({"cats": 4, "dogs": 4}, "test/", first=30))
    (tmp_path / "set/README.md").write_text("hello")
    info = prepare_data(recipe(tmp_path / "set"))
    assert info.counts == {"train": 48, "val": 12, "test": 8}
    assert info.held_out == ("val",)
    alone = prepare_data(recipe(tmp_path / "set/train.tar.gz"))
    assert alone.counts == {"train": 38, "val": 10, "test": 12}


def test_a_class_called_train_is_a_class(tmp_path):
    made = {name.replace("cats", "train"): content for name, content in files(TWENTY).items()}
    assert inspect_data(str(folder(tmp_path / "v", made))).classes == ("dogs", "owls", "train")


def test_hostile_names_in_archives_are_left_out(tmp_path):
    outside = tmp_path / "outside"
    folder(outside, files({"cats": 2}))
    contents = {
        **files(TWENTY),
        "../outside/cats/000.png": b"x",
        "/etc/cats/1.png": b"x",
        "dogs/../../1.png": b"x",
    }
    for packing in ("tar", "zip"):
        info = prepare_data(recipe(pack(tmp_path / packing, packing, contents)))
        assert sum(info.counts.values()) == 60
    assert sorted(p.name for p in outside.rglob("*.png")) == ["000.png", "001.png"]


def test_links_in_a_folder_are_followed_but_not_in_circles(tmp_path):
    real = folder(tmp_path / "real", files(TWENTY))
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in TWENTY:
        (linked / name).symlink_to(real / name)
    (linked / "dogs" / "back").symlink_to(linked)
    assert sum(inspect_data(str(linked)).counts.values()) == 60


# --- splitting ------------------------------------------------------------------------------------


def test_splits_are_disjoint_and_stratified_and_decided_by_the_seed(tmp_path):
    path = folder(tmp_path / "pets", files({"cats": 40, "dogs": 20, "owls": 10}))
    one, again, other = (load_data(recipe(path, data_seed=seed)) for seed in (0, 0, 1))
    chosen = names(one)
    assert sum(map(len, chosen.values())) == 70 == len(set.union(*chosen.values()))
    assert list(np.bincount(one.test.labels)) == [8, 4, 2]
    assert list(np.bincount(one.val.labels)) == [6, 3, 2]
    assert names(again) == chosen
    assert names(other) != chosen
    assert one.val.labels.tolist() == other.val.labels.tolist()


def test_training_pictures_are_not_in_order_of_their_classes(tmp_path):
    labels = load_data(recipe(folder(tmp_path / "pets", files(TWENTY)))).train.labels
    assert (np.diff(labels) != 0).sum() > 10


@pytest.mark.parametrize(
    ("limit", "fraction", "counts"),
    [
        (None, 0.2, {"train": 38, "val": 10, "test": 12}),
        (30, 0.2, {"train": 24, "val": 6, "test": 12}),
        (30, 0.5, {"train": 15, "val": 15, "test": 30}),
        (10, 0.2, {"train": 7, "val": 3, "test": 10}),
        (6, 0.01, {"train": 3, "val": 3, "test": 3}),
        (6, 0.99, {"train": 3, "val": 3, "test": 6}),
        (10_000, 0.2, {"train": 38, "val": 10, "test": 12}),
    ],
)
def test_limit_counts_training_and_validation_together(limit, fraction, counts, tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    data = prepare_data(recipe(path, train_limit=limit, val_fraction=fraction))
    assert data.counts == counts


def test_limit_cuts_an_own_validation_split_too_but_no_test_split(tmp_path):
    contents = {
        **files(TWENTY, "train/"),
        **files({"cats": 9, "dogs": 9}, "val/", first=20),
        **files({"cats": 15}, "test/", first=30),
    }
    path = folder(tmp_path / "pets", contents)
    data = load_data(recipe(path, train_limit=20))
    assert (len(data.train), len(data.val), len(data.test)) == (16, 4, 15)
    assert list(np.bincount(data.val.labels)) == [2, 2]


def test_only_the_limited_pictures_are_read(tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    used = names(load_data(recipe(path, train_limit=6)))
    kept = set.union(*used.values())
    for number in range(20):
        for label, name in enumerate(sorted(TWENTY)):
            if (label, (SHADES[name][2] + number) % 256) not in kept:
                (path / name / f"{number:03}.png").write_bytes(b"broken")
    assert names(load_data(recipe(path, train_limit=6))) == used


# --- pictures -------------------------------------------------------------------------------------


def deep_grey() -> Image.Image:
    return Image.fromarray(np.full((9, 9), 128 * 257, np.uint16))


def half_clear() -> Image.Image:
    return Image.new("RGBA", (9, 9), (0, 0, 0, 0))


def palette_with_hole() -> Image.Image:
    image = Image.new("P", (9, 9), 1)
    image.putpalette([9, 9, 9, 250, 0, 0])
    image.info["transparency"] = 1
    return image


MODES = [
    ("grey.png", lambda: Image.new("L", (9, 9), 100), (100, 100, 100)),
    ("bits.png", lambda: Image.new("1", (9, 9), 1), (255, 255, 255)),
    ("deep.png", deep_grey, (128, 128, 128)),
    ("deep.tif", deep_grey, (128, 128, 128)),
    ("float.tif", lambda: Image.new("F", (9, 9), 0.5), (128, 128, 128)),
    ("clear.png", half_clear, (255, 255, 255)),
    ("solid.png", lambda: Image.new("RGBA", (9, 9), (10, 20, 30, 255)), (10, 20, 30)),
    ("grey-alpha.png", lambda: Image.new("LA", (9, 9), (60, 255)), (60, 60, 60)),
    ("palette.gif", lambda: Image.new("RGB", (9, 9), (255, 0, 0)).convert("P"), (255, 0, 0)),
    ("hole.png", palette_with_hole, (255, 255, 255)),
    ("print.jpg", lambda: Image.new("CMYK", (9, 9), (0, 255, 255, 0)), (255, 0, 0)),
    ("photo.webp", lambda: Image.new("RGB", (9, 9), (10, 20, 30)), (10, 20, 30)),
    ("big.jpg", lambda: Image.new("RGB", (900, 700), (10, 20, 30)), (10, 20, 30)),
    ("PHOTO.JPEG", lambda: Image.new("RGB", (1, 1), (10, 20, 30)), (10, 20, 30)),
]


@pytest.mark.parametrize(("name", "make", "colour"), MODES, ids=[mode[0] for mode in MODES])
def test_every_mode_becomes_rgb(name, make, colour, tmp_path):
    path = tmp_path / "modes"
    for label in ("a", "b"):
        for number in range(3):
            file = path / label / f"{number}{name}"
            file.parent.mkdir(parents=True, exist_ok=True)
            make().save(file)
    data = load_data(recipe(path, 6))
    assert data.train.images.shape == (2, 6, 6, 3)
    difference = np.abs(data.train.images.astype(int) - np.array(colour))
    assert difference.max() <= 3


def test_the_middle_square_is_kept_and_reduced_without_aliasing(tmp_path):
    stripes = np.zeros((40, 80, 3), np.uint8)
    stripes[:, ::2] = 255  # one pixel wide: any aliasing would show
    stripes[:, :20] = stripes[:, 60:] = (255, 0, 0)  # outside the middle
    for label in ("a", "b"):
        for number in range(3):
            file = tmp_path / "wide" / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(stripes).save(file)
    images = load_data(recipe(tmp_path / "wide", 10)).train.images
    assert np.abs(images[:, 1:-1, 1:-1].astype(int) - 127).max() < 20
    assert (images[:, :, :, 0].astype(int) - images[:, :, :, 1] < 60).all(), "no red border"


def test_a_cameras_rotation_is_obeyed(tmp_path):
    upright = np.zeros((8, 8, 3), np.uint8)
    upright[:4] = 255
    for label in ("a", "b"):
        for number in range(3):
            file = tmp_path / "phone" / label / f"{number}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            exif = Image.Exif()
            exif[0x0112] = 3  # upside down
            Image.fromarray(upright).save(file, exif=exif, quality=95)
    images = load_data(recipe(tmp_path / "phone", 8)).train.images
    assert images[:, 0].mean() < 20
    assert images[:, 7].mean() > 235


def test_mean_and_deviation_are_of_the_training_pictures(tmp_path):
    data = load_data(recipe(folder(tmp_path / "pets", files(TWENTY))))
    pixels = data.train.images.reshape(-1, 3) / 255
    np.testing.assert_allclose(data.mean, pixels.mean(0), atol=1e-6)
    np.testing.assert_allclose(data.std, pixels.std(0), atol=1e-5)


def test_pictures_of_one_colour_have_no_deviation_of_zero(tmp_path):
    for name in ("aa/1", "aa/2", "aa/3", "bb/1", "bb/2", "bb/3"):
        file = tmp_path / "black" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(file)
    assert min(load_data(recipe(tmp_path / "black")).std) > 0


@pytest.mark.parametrize(
    ("size", "native", "sensible"),
    [((28, 28), 28, 28), ((32, 40), 32, 32), ((70, 66), 66, 64), ((500, 375), 375, 224)],
)
def test_a_look_proposes_a_sensible_size(size, native, sensible, tmp_path):
    for label in ("cats", "dogs"):
        for number in range(4):
            file = tmp_path / "pets" / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture(SHADES[label], number, size).save(file)
    info = inspect_data(str(tmp_path / "pets"))
    assert (info.native_size, info.image_size) == (native, sensible)
    assert info.flip
    assert info.crop == sensible // 8
    assert info.counts == {"train": 8}


# --- the cache ------------------------------------------------------------------------------------


def test_prepared_data_is_decoded_once_and_mapped(tmp_path, cache, monkeypatch):
    path = folder(tmp_path / "pets", files(TWENTY))
    info = prepare_data(recipe(path))
    stamp = (info.folder / "info.json").stat().st_mtime_ns
    monkeypatch.setattr("attentune.runners.data.cache.build", None)
    assert prepare_data(recipe(path)) == info
    data = load_data(recipe(path))
    assert (info.folder / "info.json").stat().st_mtime_ns == stamp
    assert isinstance(data.train.images, np.memmap)
    assert not data.train.images.flags.writeable
    assert info.folder.is_relative_to(cache)
    assert not list(cache.rglob("tmp-*"))


def test_info_survives_json(tmp_path):
    info = prepare_data(recipe(folder(tmp_path / "pets", files(TWENTY))))
    assert DataInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


@pytest.mark.parametrize(
    "change", [{"image_size": 9}, {"train_limit": 30}, {"val_fraction": 0.3}, {"data_seed": 1}]
)
def test_another_choice_of_pictures_is_prepared_apart(change, tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    one, two = prepare_data(recipe(path)), prepare_data(recipe(path, **change))
    assert one.folder != two.folder
    assert prepare_data(recipe(path, lr=0.1, epochs=3)).folder == one.folder


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_changed_source_is_prepared_again(packing, tmp_path):
    path = pack(tmp_path, packing, files(TWENTY))
    before = prepare_data(recipe(path)).counts
    pack(tmp_path, packing, files({"cats": 30, "dogs": 20, "owls": 20}))
    after = prepare_data(recipe(path)).counts
    assert sum(before.values()) == 60
    assert sum(after.values()) == 70


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


DAMAGE = [
    ("train.images.npy", truncate),
    ("val.images.npy", Path.unlink),
    ("test.labels.npy", lambda file: file.write_bytes(b"")),
    ("info.json", lambda file: file.write_text("{")),
    ("info.json", lambda file: file.write_text("{}")),
    ("info.json", Path.unlink),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGE)
def test_damaged_data_is_prepared_again(name, damage, tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    info = prepare_data(recipe(path))
    whole = {file.name: file.read_bytes() for file in info.folder.iterdir()}
    damage(info.folder / name)
    assert prepare_data(recipe(path)) == info
    assert {file.name: file.read_bytes() for file in info.folder.iterdir()} == whole


def test_deleted_data_is_refused_with_advice(tmp_path):
    info = prepare_data(recipe(folder(tmp_path / "pets", files(TWENTY))))
    (info.folder / "train.images.npy").unlink()
    with pytest.raises(DataError, match="gone or damaged; start again"):
        open_data(info)


PREPARE = """
import sys
from attentune.runners.data import prepare_data
from attentune.runners.recipe import Recipe
print(prepare_data(Recipe(data=sys.argv[1], image_size=8)).folder)
"""


def test_processes_may_prepare_the_same_data_at_once(tmp_path, cache):
    path = folder(tmp_path / "pets", files(TWENTY))
    command = [sys.executable, "-c", PREPARE, str(path)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) for _ in range(3)
    ]
    folders = {process.communicate(timeout=120)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(folders) == 1
    assert list((cache / "data").iterdir()) == [Path(folders.pop().strip())]


def test_a_failed_preparation_leaves_nothing_behind(tmp_path, cache):
    path = folder(tmp_path / "pets", files(TWENTY))
    for file in path.rglob("*.png"):
        file.write_bytes(b"broken")
    with pytest.raises(DataError):
        prepare_data(recipe(path))
    assert list((cache / "data").iterdir()) == []


def test_a_cache_that_cannot_be_written_says_how_to_choose_another(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot write prepared data.*set ATTENTUNE_CACHE"):
        prepare_data(recipe(folder(tmp_path / "pets", files(TWENTY))))


def test_progress_ends_at_the_number_of_pictures(tmp_path):
    seen = []
    path = folder(tmp_path / "pets", files(TWENTY))
    prepare_data(recipe(path), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (60, 60)
    assert seen == sorted(seen)


def test_preparing_needs_no_torch(tmp_path):
    code = (
        PREPARE + "assert not {'torch', 'timm', 'sklearn'} & set(sys.modules), 'torch came along'"
    )
    path = folder(tmp_path / "pets", files(TWENTY))
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


# --- broken pictures ------------------------------------------------------------------------------


def png() -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (30, 30, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


BROKEN = {
    "empty": b"",
    "text": b"this is no picture",
    "cut short": png()[:-700],
    "header only": png()[:40],
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("packing", ["folder", "tar.gz", "zip"])
def test_a_broken_picture_is_named_or_left_out(kind, packing, tmp_path):
    contents = {**files(TWENTY), "dogs/007.png": BROKEN[kind]}
    path = pack(tmp_path, packing, contents)
    with pytest.raises(DataError, match=r"dogs/007\.png cannot be decoded .*--skip-broken"):
        load_data(recipe(path))
    data = load_data(recipe(path, skip_broken=True))
    (broken,) = data.broken
    assert broken.endswith("dogs/007.png")
    assert sum(map(len, names(data).values())) == 59


def test_the_others_keep_their_labels_when_broken_ones_are_left_out(tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    for number in (1, 5, 9):
        (path / "cats" / f"{number:03}.png").write_bytes(b"broken")
    data = load_data(recipe(path, skip_broken=True))
    assert len(data.broken) == 3
    for split in (data.train, data.val, data.test):
        red = split.images[:, 4, 4, 0] > 100
        assert (red == (split.labels == 0)).all()


def test_a_class_with_nothing_left_is_refused(tmp_path):
    contents = files(TWENTY)
    contents.update({name: b"broken" for name in contents if name.startswith("owls")})
    with pytest.raises(DataError, match="no training picture of class 'owls'"):
        load_data(recipe(folder(tmp_path / "pets", contents), skip_broken=True))


# --- what is refused ------------------------------------------------------------------------------


def encrypted_zip(path: Path) -> Path:
    made = archive(path / "pets.zip", files(TWENTY))
    raw = bytearray(made.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = raw.find(signature)
        while at >= 0:
            raw[at + offset] |= 1
            at = raw.find(signature, at + 4)
    made.write_bytes(raw)
    return made


def half_archive(path: Path) -> Path:
    made = archive(path / "pets.tar.gz", files(TWENTY))
    made.write_bytes(made.read_bytes()[: made.stat().st_size // 2])
    return made


def text_file(path: Path) -> Path:
    (path / "notes.txt").write_text("hello " * 300)
    return path / "notes.txt"


REFUSED = {
    "missing path": (lambda p: p / "nothing", "there is no file or folder"),
    "missing archive": (lambda _: "pets.tar.gz", "there is no file or folder 'pets.tar.gz'"),
    "unknown name": (lambda _: "digitz", "did you mean 'digits'"),
    "unlike any name": (lambda _: "zzz", "known: cluttered-digits, cued-digits, digits"),
    "empty folder": (lambda p: p, "holds no pictures"),
    "loose pictures": (
        lambda p: folder(p, {"1.png": b"", "2.png": b""}),
        "holds 2 pictures but no class folders",
    ),
    "one class": (lambda p: folder(p, files({"cats": 9})), "holds only one class"),
    "one picture": (
        lambda p: folder(p, files({"cats": 9, "dogs": 1})),
        "class 'dogs' has 1 training pictures; at least 3 are needed",
    ),
    "one picture, own splits": (
        lambda p: folder(p, {**files(TWENTY, "train/"), **files({"cats": 1}, "test/"),
                             "train/zebras/1.png": b""}),
        "class 'zebras' has 1 training pictures; at least 2 are needed",
    ),
    "class only in test": (
        lambda p: folder(p, {**files({"cats": 5, "dogs": 5}, "train/"),
                             **files({"owls": 2}, "test/")}),
        "test has a class 'owls' that train has not",
    ),
    "no archive": (text_file, "neither a folder nor a readable archive"),
    "empty archive": (lambda p: archive(p / "e.tar", {}), "holds no pictures"),
    "empty zip": (lambda p: archive(p / "e.zip", {}), "holds no pictures"),
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


def test_a_limit_below_two_pictures_a_class_is_refused(tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    with pytest.raises(DataError, match="train_limit=5 is too few for 3 classes; use at least 6"):
        prepare_data(recipe(path, train_limit=5))


def test_a_folder_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    path = folder(tmp_path / "pets", files(TWENTY))

    def denied(place: object) -> None:
        raise PermissionError(13, "Permission denied", str(place))

    monkeypatch.setattr("attentune.runners.data.stores.os.scandir", denied)
    with pytest.raises(DataError, match=r"cannot read .*pets: Permission denied"):
        inspect_data(str(path))


# --- timm's data sets -----------------------------------------------------------------------------


class Indexed:
    """Like torchvision's: an index, `targets`, `classes`."""

    def __init__(self, count: int, first: int) -> None:
        self.classes = sorted(SHADES)
        self.targets = [number % 3 for number in range(count)]
        self.first = first

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int):
        name = self.classes[self.targets[index]]
        return picture(SHADES[name], self.first + index, (32, 32)), self.targets[index]


class Columns(dict):
    column_names = ("image", "label")


class Table:
    """Like timm's over Hugging Face's: a table with a column of labels."""

    def __init__(self, count: int, first: int) -> None:
        self.inner = Indexed(count, first)
        self.reader = SimpleNamespace(
            dataset=Columns(label=self.inner.targets),
            label_key="label",
            class_to_idx={"owls": 2, "cats": 0, "dogs": 1},
        )

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, index: int):
        return self.inner[index]


class Streamed:
    """Like timm's over TensorFlow's: only a stream."""

    def __init__(self, count: int, first: int) -> None:
        self.inner = Indexed(count, first)

    def __iter__(self):
        return (self.inner[index] for index in range(len(self.inner)))


@pytest.fixture
def timm_sets(monkeypatch):
    """Put a function in the place of `create_dataset`; the calls it got."""
    calls = []

    def install(create):
        def recorded(name, **arguments):
            calls.append((name, arguments))
            return create(name, arguments["split"])

        module = SimpleNamespace(data=SimpleNamespace(create_dataset=recorded))
        monkeypatch.setattr("attentune.runners.data.timm_sets.import_timm", lambda: module)
        return calls

    return install


def test_torchvisions_second_split_is_the_test(timm_sets, cache):
    calls = timm_sets(lambda _, split: Indexed(60 if split == "train" else 12, 0))
    assert inspect_data("torch/pets").image_size == 32
    info = prepare_data(recipe("torch/pets"))
    assert info.counts == {"train": 48, "val": 12, "test": 12}
    assert info.held_out == ("val",)
    assert info.classes == ("cats", "dogs", "owls")
    assert {arguments["split"] for _, arguments in calls} == {"train", "validation"}
    assert all(arguments["download"] for _, arguments in calls)
    assert all(Path(arguments["root"]).is_relative_to(cache) for _, arguments in calls)
    data = open_data(info)
    assert (data.train.images[data.train.labels == 2][:, 0, 0, :2] == SHADES["owls"][:2]).all()


@pytest.mark.parametrize(("spec", "kind"), [("hfds/me/pets", Table), ("tfds/pets", Streamed)])
def test_other_sets_are_asked_for_their_splits(spec, kind, timm_sets):
    def create(name, split):
        if split == "test":
            raise ValueError(f"Unknown split {split!r}")
        return kind(60 if split == "train" else 9, 0 if split == "train" else 100)

    timm_sets(create)
    info = prepare_data(recipe(spec))
    assert info.counts == {"train": 48, "val": 9, "test": 12}
    assert info.held_out == ("test",)
    assert len(info.classes) == 3
    data = open_data(info)
    chosen = names(data)
    assert sum(map(len, chosen.values())) == 69 == len(set.union(*chosen.values()))
    assert all(((data.val.images[:, 0, 0, 0] > 100) == (data.val.labels == 0)).tolist())


FAILURES = [
    ("hfds/me/pets", ImportError("No module named 'datasets'"), "pip install datasets"),
    ("torch/cifar10", OSError("<urlopen error no route>\nmore"), r"no route>\); check its name"),
    ("torch/nothing", AssertionError("Unknown torchvision dataset nothing"), "Unknown torchvision"),
    ("tfds/x", RuntimeError(""), r"cannot be loaded \(RuntimeError\)"),
    ("hfds/x", ValueError("Unknown split 'train'"), "Unknown split 'train'"),
]


@pytest.mark.parametrize(("spec", "error", "words"), FAILURES)
def test_a_set_that_cannot_be_loaded_says_why(spec, error, words, timm_sets):
    def create(name, split):
        raise error

    timm_sets(create)
    with pytest.raises(DataError, match=words):
        prepare_data(recipe(spec))


def test_a_set_of_characters_is_not_mirrored(timm_sets):
    timm_sets(lambda *_: Indexed(30, 0))
    assert not inspect_data("torch/mnist").flip
    assert inspect_data("torch/cifar10").flip
