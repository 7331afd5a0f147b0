"""The contract of data sources, for every implementation."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from attentune.errors import DataError
from attentune.runners.data.dataset import SPLITS
from attentune.runners.data.images import BrokenImage
from attentune.runners.data.prepared.splits import plan_splits
from attentune.runners.data.preprocessing import Preprocessing
from attentune.runners.data.sources.resolve import SOURCE_KINDS, open_source
from attentune.runners.data.sources.source import DataSource, allows_flips, sensible_size
from PIL import Image

from ..image_files import PACKINGS, TWENTY, archive, files, folder, pack, recipe
from ..timm_stand_ins import IndexedSet, StreamedSet, TableSet

OTHER = {"cats": 21, "dogs": 20, "owls": 20}
SPLIT_FILES = {
    **files(TWENTY, "train/"),
    **files({"cats": 3, "owls": 4}, "val/", first=20),
    **files({"dogs": 5}, "test/", first=30),
}


@dataclass(frozen=True)
class Case:
    """One implementation.

    `make` and `change` write what a source reads, with different content in the same folder, and
    return the text that names it. The source that `damage` names cannot be read.
    """

    kind: str
    make: Callable[[Path], object]
    change: Callable[[Path], object]
    damage: Callable[[Path], object]


def damaged(path: Path) -> Path:
    """Cut an archive inside a file: a tar that ends between two files counts as complete."""
    cut = path.stat().st_size // 2
    cut += 600 if path.suffix == ".tar" else 0  # past the header of 512 bytes
    path.write_bytes(path.read_bytes()[:cut])
    return path


def split_archives(where: Path, classes: dict[str, int]) -> Path:
    archive(where / "set/train.tar.gz", files(classes, "train/"))
    archive(where / "set/test.zip", files({"cats": 4, "dogs": 4}, "test/", first=30))
    return where / "set"


def damaged_split_archives(where: Path) -> Path:
    damaged(split_archives(where, TWENTY) / "train.tar.gz")
    return where / "set"


def as_arrays(contents: dict[str, bytes]) -> dict[str, bytes]:
    """The same images in files of NumPy."""
    arrays = {}
    for name, content in contents.items():
        file = io.BytesIO()
        np.save(file, np.asarray(Image.open(io.BytesIO(content))))
        arrays[name.replace(".png", ".npy")] = file.getvalue()
    return arrays


def table(where: Path, classes: dict[str, int], header: str = "path,label,patient,weight") -> Path:
    """A table beside the images that it names, three of each patient."""
    contents = files(classes)
    folder(where, contents)
    rows = [f"{name},{name[:4]},{name[:4]}{n // 3},{n % 5}" for n, name in enumerate(contents)]
    (where / "pets.csv").write_text("\n".join([header, *rows]), "utf-8")
    return where / "pets.csv"


CASES = {
    "table": Case(
        "table",
        lambda p: table(p, TWENTY),
        lambda p: table(p, OTHER),
        lambda p: table(p, TWENTY, header="a,b,c,d"),
    ),
    **{
        name: Case("embedded", lambda _, n=name: n, lambda _, o=other: o, lambda _: "digitz")
        for name, other in (
            ("digits", "cued-digits"),
            ("cluttered-digits", "digits"),
            ("cued-digits", "cluttered-digits"),
        )
    },
    "folder": Case(
        "files",
        lambda p: folder(p / "pets", files(TWENTY)),
        lambda p: folder(p / "pets", files(OTHER)),
        lambda p: folder(p / "one-class", files({"cats": 9})),
    ),
    "folder with splits": Case(
        "files",
        lambda p: folder(p / "pets", SPLIT_FILES),
        lambda p: folder(p / "pets", files({"dogs": 6}, "test/", first=30)),
        lambda p: folder(p / "loose", {"1.png": b"", "2.png": b""}),
    ),
    "arrays": Case(
        "files",
        lambda p: folder(p / "pets", as_arrays(files(TWENTY))),
        lambda p: folder(p / "pets", as_arrays(files(OTHER))),
        lambda p: folder(p / "loose", {"1.npy": b"", "2.npy": b""}),
    ),
    "archive per split": Case(
        "files",
        lambda p: split_archives(p, TWENTY),
        lambda p: split_archives(p, OTHER),
        damaged_split_archives,
    ),
    **{
        packing: Case(
            "files",
            lambda p, packing=packing: pack(p, packing, files(TWENTY)),
            lambda p, packing=packing: pack(p, packing, files(OTHER)),
            lambda p, packing=packing: damaged(pack(p, packing, files(TWENTY))),
        )
        for packing in PACKINGS
        if packing != "folder"
    },
    **{
        spec: Case("timm", lambda _, s=spec: s, lambda _, s=spec: f"{s}2", lambda _: "hfds/absent")
        for spec in ("torch/indexed", "hfds/me/table", "tfds/streamed")
    },
}


@pytest.fixture(params=CASES)
def case(request, timm_sets) -> Case:
    def create(name: str, split: str):
        if name == "hfds/absent":
            raise OSError("no such set")
        stand_in = {"torch": IndexedSet, "hfds": TableSet, "tfds": StreamedSet}[name.split("/")[0]]
        first = {"train": 0, "validation": 60, "test": 72}[split]
        return stand_in(60 if split == "train" else 12, first)

    timm_sets(create)
    return CASES[request.param]


@pytest.fixture
def source(case, tmp_path) -> DataSource:
    return open_source(str(case.make(tmp_path)))


def test_the_contract_is_tested_for_every_kind_of_source():
    assert {case.kind for case in CASES.values()} == set(SOURCE_KINDS)


def test_a_text_names_the_kind_that_the_case_says(case, tmp_path):
    spec = str(case.make(tmp_path))
    matching = (name for name, kind in SOURCE_KINDS.items() if kind.matches(spec))
    assert next(matching) == case.kind


def test_the_fingerprint_is_stable_and_changes_with_the_content(case, tmp_path):
    spec = str(case.make(tmp_path))
    before = open_source(spec).fingerprint
    assert before == open_source(spec).fingerprint
    assert open_source(str(case.change(tmp_path))).fingerprint != before


def test_classes_are_sorted_and_the_same_again(case, source, tmp_path):
    assert source.classes == tuple(sorted(set(source.classes)))
    assert len(source.classes) >= 2
    assert open_source(str(case.make(tmp_path))).classes == source.classes


def test_every_split_has_labels_of_known_classes_and_train_has_all(source):
    labels = source.read_labels()
    assert "train" in labels
    assert set(labels) <= set(SPLITS)
    assert source.count_images() == {split: len(values) for split, values in labels.items()}
    for values in labels.values():
        assert values.dtype == np.int64
        assert len(values) > 0
        assert set(values.tolist()) <= set(range(len(source.classes)))
    assert set(labels["train"].tolist()) == set(range(len(source.classes)))


def read(source: DataSource, split: str, rows: list[int], size: int) -> dict[int, np.ndarray]:
    """The images by row; every index must come exactly once."""
    pairs = list(source.read_images(split, np.array(rows, np.int64), Preprocessing(size)))
    assert sorted(index for index, _ in pairs) == list(range(len(rows)))
    return {rows[index]: image for index, image in pairs}


@pytest.mark.parametrize("size", [8, 9])
def test_images_are_rgb_bytes_of_the_wanted_size_whatever_their_order(source, size):
    for split, labels in source.read_labels().items():
        last = len(labels) - 1
        images = read(source, split, [last, 0, 2, 1], size)
        for image in images.values():
            assert image.dtype == np.uint8
            assert image.shape == (size, size, 3)
        again = read(source, split, [1, last], size)
        for row, image in again.items():
            np.testing.assert_array_equal(image, images[row])


def test_groups_are_those_of_the_images_and_in_one_split(source):
    groups = source.read_groups()
    if groups:
        labels = source.read_labels()
        assert set(groups) == set(labels)
        assert all(len(groups[split]) == len(labels[split]) for split in groups)
    numbers = [set(values.tolist()) for values in groups.values()]
    assert sum(map(len, numbers)) == len(set().union(*numbers))
    assert all(sentence and len(sentence.splitlines()) == 1 for sentence in source.remarks)


def test_weights_are_those_of_the_images(source):
    labels, weights = source.read_labels(), source.read_weights()
    assert weights.keys() in (set(), labels.keys())
    for split, values in weights.items():
        assert values.shape == labels[split].shape
        assert values.dtype == np.float64
        assert (values >= 0).all()


def test_images_are_the_same_again(case, source, tmp_path):
    first = read(source, "train", [0, 3], 12)
    again = read(open_source(str(case.make(tmp_path))), "train", [0, 3], 12)
    for row, image in first.items():
        np.testing.assert_array_equal(again[row], image)


def test_no_image_is_in_two_splits(source):
    plan = plan_splits(source.read_labels(), source.classes, recipe("", val_fraction=0.2))
    chosen = [(s.split, row) for s in plan.selections.values() for row in s.rows.tolist()]
    assert len(chosen) == len(set(chosen))
    by_origin: dict[str, set[bytes]] = {}
    for split in source.read_labels():
        rows = list(range(min(200, source.count_images()[split])))
        by_origin[split] = {
            image.tobytes() for image in read(source, split, rows, source.native_size).values()
        }
    assert len(set.union(*by_origin.values())) == sum(map(len, by_origin.values()))


def test_sizes_and_augmentation_suit_the_images(source):
    assert source.name
    assert source.native_size > 0
    assert source.default_size == sensible_size(source.native_size)
    assert source.flip == allows_flips(source.name, source.classes)
    assert source.crop is None or 0 <= source.crop < source.default_size


@pytest.mark.parametrize(
    ("classes", "allowed"),
    [
        ("bd", False),
        ("25", False),
        ("٢٥", False),
        ("あい", False),
        ("<>", False),
        ("猫狗", True),
        ("🐱🐶", True),
        (("b", "dog"), True),
    ],
)
def test_classes_that_are_called_by_single_characters_are_not_mirrored(classes, allowed):
    assert allows_flips("photos", tuple(classes)) == allowed


def test_a_source_that_cannot_be_read_raises_data_error(case, tmp_path):
    with pytest.raises(DataError) as caught:
        open_source(str(case.damage(tmp_path))).read_labels()
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_image_that_cannot_be_decoded_is_reported_in_its_turn(packing, tmp_path):
    contents = files(TWENTY)
    contents["dogs/000.png"] = b"broken"
    source = open_source(str(pack(tmp_path, packing, contents)))
    first_dog = int(np.flatnonzero(source.read_labels()["train"] == 1)[0])
    images = read(source, "train", [first_dog, 0], 8)
    assert isinstance(images[0], np.ndarray)
    assert isinstance(images[first_dog], BrokenImage)
    assert "dogs/000.png" in images[first_dog].label


def test_an_image_of_timm_that_cannot_be_decoded_is_reported_in_its_turn(timm_sets):
    class Damaged(IndexedSet):
        def __getitem__(self, index: int):
            if index == 1:
                raise OSError("truncated")
            return super().__getitem__(index)

    timm_sets(lambda *_: Damaged(30, 0))
    images = read(open_source("torch/damaged"), "train", [1, 2], 8)
    assert images[1] == BrokenImage("torch/damaged train image 1", "truncated")
    assert isinstance(images[2], np.ndarray)
