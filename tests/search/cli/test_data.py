"""attentune data: what a search would see, on a terminal and as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """Three class folders with thirty images, a copy, and files that are not read."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    for name in ("birds", "cats", "dogs"):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            image = Image.fromarray(rng.integers(0, 256, (16, 20, 3), dtype=np.uint8))
            image.save(folder / name / f"{number}.jfif", "JPEG")
    copy = (folder / "cats" / "0.jfif").read_bytes()
    (folder / "dogs" / "cat.jfif").write_bytes(copy)
    for number in range(20):
        (folder / "cats" / f"x{number}.heic").write_bytes(bytes(64))
    return folder


def test_the_data_are_shown_with_what_is_left_out(run_here, photos, tmp_path):
    code, printed = run_here("data", "photos", "-o", "sheet.png")
    assert code == 0, printed
    assert "3 classes" in printed
    assert "validation (held out)" in printed
    assert "left out of photos: 20 .heic in a format that is not read" in printed
    assert "1 pairs of identical images in two splits or two classes" in printed
    assert "augmentation of training images: mirrored" in printed
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 400


def test_json_has_everything(run_here, photos):
    (photos / "birds" / "bad.png").write_bytes(b"no image")
    options = ("--image-size", "12", "--seed", "3", "--in-chans", "1")
    code, printed = run_here("data", str(photos), "--json", *options)
    assert code == 0, printed
    report = json.loads(printed)
    assert report["classes"] == ["birds", "cats", "dogs"]
    assert sum(map(sum, report["counts"].values())) == 31
    assert report["held_out"] == ["val", "test"]
    assert report["image_size"] == 12
    assert (report["channels"], report["is_grey"]) == (1, False)
    assert report["left_out"][0] == {
        "folder": "cats",
        "reason": "in a format that is not read",
        "suffix": ".heic",
        "count": 20,
        "example": report["left_out"][0]["example"],
    }
    (broken,) = report["broken"]
    assert broken["label"].endswith("bad.png")
    assert report["repeated"][0]["equal"]
    assert {"augmentation", "majority", "remarks", "sizes"} <= report.keys()


def test_a_question_about_splits_is_answered_with_an_option(run_here, photos, tmp_path):
    splits = tmp_path / "splits"
    splits.mkdir()
    photos.rename(splits / "training_set")
    (splits / "test_set").symlink_to(splits / "training_set")
    code, printed = run_here("data", "splits")
    assert code == 1
    assert "--split-folders train=training_set,test=test_set" in printed
    code, printed = run_here("data", "splits", "--split-folders", "train=training_set")
    assert code == 0, printed
    assert "in folders that --split-folders does not name" in printed
    code, printed = run_here("data", "splits", "--leave-out", "test_set", "--leave-out", "birds")
    assert "2 classes" in printed


def test_an_embedded_name_beside_a_folder_of_that_name_is_said(run_here, photos, tmp_path):
    photos.rename(tmp_path / "digits")
    code, printed = run_here("data", "./digits")
    assert (code, "3 classes" in printed) == (0, True), printed
    from attentune.runners.data import inspect_data

    (remark,) = inspect_data("digits").remarks
    assert remark.endswith("the path of that name is used with --data ./digits")
