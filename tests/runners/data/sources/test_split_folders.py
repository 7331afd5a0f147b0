"""Folders that may be splits: recognised by their usual names, said by the user, or asked about."""

from __future__ import annotations

import re

import pytest
from attentune.errors import DataError
from attentune.runners.data.files.file_names import Reason
from attentune.runners.data.sources.split_folders import parse_splits

from ..listings import arrange, classes, images

KINDS = ("cats", "dogs")


def in_each(*tops: str) -> list[str]:
    return images(*(f"{top}/{kind}" for top in tops for kind in KINDS))


@pytest.mark.parametrize(
    "names",
    [("train", "val", "test"), ("Training", "validation", "TESTING"), ("TRAIN", "valid", "Test")],
)
def test_folders_with_the_usual_names_are_splits(names):
    assert classes(arrange(*in_each(*names))) == {
        split: [*KINDS] for split in ("train", "val", "test")
    }


QUESTIONS = {
    "training_set and test_set": in_each("training_set", "test_set"),
    "with a year": in_each("train2017", "val2017"),
    "dev": in_each("train", "dev"),
    "eval": in_each("train", "test", "eval"),
    "holdout": in_each("train", "holdout"),
    "prefixes": in_each("seg_train", "seg_test"),
    "camel case": in_each("TrainImages", "TestImages"),
    "no name of a split": in_each("amazon", "webcam"),
    "different classes": images("training_set/cats", "training_set/dogs", "test_set/owls"),
    "a stray image": [*in_each("training_set", "test_set"), "test_set/sample.jpg"],
    "images and masks": in_each("images", "masks"),
    "val and test alone": in_each("val", "test"),
    "one split twice": in_each("train", "val", "valid"),
    "inside class folders": images(*(f"{kind}/{s}" for kind in KINDS for s in ("train", "test"))),
    "inside folds": in_each("fold1/train", "fold1/test", "fold2/train", "fold2/test"),
    "a class called train": images("train/steam", "train/diesel", "bus", "car"),
    "a class called train with others below": images(
        "train/steam", "train/diesel", "bus/city", "bus/coach"
    ),
    "no class folders": images("train", "test"),
    "one of two": images("train", "predict"),
    "flat with a year": images("train2017", "val2017"),
    "one folder around them": in_each("photos/training_set", "photos/test_set"),
}


@pytest.mark.parametrize("case", QUESTIONS)
def test_what_may_be_a_split_is_a_question_whose_answer_is_in_it(case):
    with pytest.raises(DataError) as question:
        arrange(*QUESTIONS[case])
    text = str(question.value)
    assert "\n" not in text
    assert "--split-folders none" in text
    (proposed,) = re.findall(r"--split-folders (train=\S*[^\s,;]|test=\S*[^\s,;])", text)
    arrange(*QUESTIONS[case], splits="none")
    if case not in ("no class folders", "one of two", "flat with a year"):
        assert arrange(*QUESTIONS[case], splits=proposed).files


def test_splits_that_the_user_names_are_used_and_the_rest_is_counted():
    files = in_each("training_set", "test_set", "extra")
    arrangement = arrange(*files, splits="train=training_set,test=test_set")
    assert classes(arrangement) == {"train": [*KINDS], "test": [*KINDS]}
    assert sum(len(rows) for rows in arrangement.files.values()) == 8
    assert {(f.reason, f.suffix) for f in arrangement.left_out} == {(Reason.NO_SPLIT, ".jpg")}
    assert sum(files.count for files in arrangement.left_out) == 4


def test_a_split_may_have_several_folders():
    arrangement = arrange(
        *in_each("amazon", "dslr", "webcam"), splits="train=amazon,train=dslr,test=webcam"
    )
    assert {split: len(files) for split, files in arrangement.files.items()} == {
        "train": 8,
        "test": 4,
    }


def test_splits_may_be_inside_class_folders():
    files = images(*(f"{kind}/{split}" for kind in KINDS for split in ("train", "test")))
    arrangement = arrange(*files, splits="train=*/train,test=*/test")
    assert classes(arrangement) == {"train": [*KINDS], "test": [*KINDS]}


def test_all_folders_are_classes_if_the_user_says_so():
    arrangement = arrange(*in_each("amazon", "webcam"), splits="none")
    assert classes(arrangement) == {"train": ["amazon", "webcam"]}
    assert not arrangement.left_out


def test_a_class_called_train_among_others_is_a_class_and_said():
    arrangement = arrange(*images("bus", "car", "train"))
    assert classes(arrangement) == {"train": ["bus", "car", "train"]}
    assert arrangement.notes == (
        "train/ is used as a class, because it holds images and no class folders",
    )


def test_an_unlabelled_split_is_counted():
    arrangement = arrange(*in_each("train"), *images("test", count=5))
    assert list(arrangement.files) == ["train"]
    (left_out,) = arrangement.left_out
    assert (left_out.reason, left_out.count) == (Reason.UNLABELLED, 5)


def test_images_beside_certain_splits_are_counted():
    arrangement = arrange(*in_each("train", "test"), *images("samples"), "cover.jpg")
    counts = {files.folder: (files.reason, files.count) for files in arrangement.left_out}
    assert counts == {
        "samples": (Reason.BESIDE_SPLITS, 2),
        "": (Reason.BESIDE_SPLITS, 1),
    }


def test_a_split_without_an_image_is_an_error():
    with pytest.raises(DataError, match=r"the split val/ holds no image .*--leave-out val"):
        arrange(*in_each("train", "test"), "val/cats/1.heic")


@pytest.mark.parametrize(
    "text", ["", "train", "train=", "=x", "photos=x", "train=x,test=x", "test=x", "train=a,,test=b"]
)
def test_a_text_that_names_no_splits_is_refused(text):
    with pytest.raises(DataError, match="--split-folders"):
        parse_splits(text)


def test_a_folder_that_is_not_there_is_refused():
    with pytest.raises(DataError, match=r"'trian', which is missing .* there are test/ and train/"):
        arrange(*in_each("train", "test"), splits="train=trian")
