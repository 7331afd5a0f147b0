"""Class folders: none is lost without a word, and one class has one name."""

from __future__ import annotations

import unicodedata

import pytest
from attentune.errors import DataError
from attentune.runners.data.files.file_names import Reason

from ..listings import arrange, classes, images

PETS = images("cats", "dogs", "owls")

UNUSABLE = {
    "empty": (PETS, ["birds"], r"the class folder 'birds' \(empty\)"),
    "an unread format": (
        [*PETS, "birds/1.heic", "birds/2.HEIC"],
        [],
        r"'birds' \(2 .heic in a format that is not read\)",
    ),
    "only text": ([*PETS, "birds/1.txt"], [], r"'birds' \(1 .txt that are not named as images\)"),
    "deep inside": ([*PETS, "birds/2024/1.cr2"], [], r"'birds' \(1 .cr2 "),
    "two": (PETS, ["birds", "ants"], r"class folders 'ants' \(empty\), 'birds' \(empty\)"),
    "in a split": (
        images("train/cats", "train/dogs", "test/cats"),
        ["train/owls"],
        r"'train/owls' \(empty\)",
    ),
    "in another split": (
        images("train/cats", "train/dogs", "test/cats"),
        ["test/owls"],
        r"'test/owls' \(empty\)",
    ),
    "beside the only folder with images": (
        [*images("cats/old", "cats/new"), "dogs/1.heic"],
        [],
        r"only cats/ holds images that can be read, dogs/ holds none",
    ),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_class_folder_without_an_image_is_named(case):
    files, folders, words = UNUSABLE[case]
    with pytest.raises(DataError, match=words) as error:
        arrange(*files, folders=folders)
    assert "--leave-out" in str(error.value)


def test_an_empty_class_inside_which_the_splits_are_is_named():
    files = images(*(f"{kind}/{split}" for kind in ("a", "b") for split in ("train", "test")))
    with pytest.raises(DataError, match=r"'c' \(empty\)"):
        arrange(*files, folders=["c"], splits="train=*/train,test=*/test")


def test_what_the_user_leaves_out_is_no_class_and_is_counted():
    arrangement = arrange(
        *PETS, "docs/1.txt", folders=["birds"], leave_out=["birds", "docs", "owls/0.jpg", "do?s/"]
    )
    assert classes(arrangement) == {"train": ["cats", "owls"]}
    counts = {(files.folder, files.reason): files.count for files in arrangement.left_out}
    assert counts == {
        ("docs", Reason.NO_IMAGE): 1,
        ("dogs", Reason.REQUESTED): 2,
        ("owls", Reason.REQUESTED): 1,
    }


def test_a_name_to_leave_out_that_matches_nothing_is_refused():
    with pytest.raises(DataError, match="--leave-out brids matches nothing in photos"):
        arrange(*PETS, leave_out=["brids"])


def test_a_class_that_a_split_lacks_is_said():
    arrangement = arrange(*images("train/cats", "train/dogs", "test/cats"), folders=["test/dogs"])
    assert arrangement.notes == ("test has no image of 'dogs'",)


def test_two_unicode_forms_of_a_name_are_one_class():
    composed = "K\u00f6ln"
    decomposed = unicodedata.normalize("NFD", composed)
    assert composed != decomposed
    arrangement = arrange(*images(f"train/{composed}", "train/Bonn", f"test/{decomposed}"))
    assert classes(arrangement) == {"train": ["Bonn", composed], "test": [composed]}
    both = arrange(*images(composed, decomposed, "Bonn"))
    assert classes(both) == {"train": ["Bonn", composed]}
    assert len(both.files["train"]) == 6


@pytest.mark.parametrize("names", [("cats", "Cats"), ("strasse", "straße"), ("ﬁsh", "fish")])
def test_names_that_are_spelt_almost_alike_are_an_error(names):
    with pytest.raises(DataError, match="spelt almost alike"):
        arrange(*images(*names, "owls"))
    with pytest.raises(DataError, match="spelt almost alike"):
        arrange(*images(f"train/{names[0]}", "train/owls", f"test/{names[1]}"))


def test_images_outside_of_class_folders_are_counted():
    (left_out,) = arrange(*PETS, "cover.jpg", "back.jpg").left_out
    assert (left_out.folder, left_out.reason, left_out.count) == ("", Reason.NO_CLASS, 2)


def test_folders_below_class_folders_are_said_where_they_could_be_classes():
    arrangement = arrange(*images("animals/cats", "animals/dogs", "plants/roses", "plants/oaks"))
    assert classes(arrangement) == {"train": ["animals", "plants"]}
    assert arrangement.notes == (
        "images in folders below a class folder belong to that class, as those in 'cats', 'dogs' "
        "to 'animals'",
    )
    assert not arrange(*images("cats/2024", "dogs/2024")).notes
