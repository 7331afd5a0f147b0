"""attentune data: what a search would see, on a terminal and as JSON."""

from __future__ import annotations

import json
import re

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
    assert "augmentation light (images of 16 pixels are small): shifts of up to 2" in printed
    assert "images are mirrored: no two classes" in printed
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
    assert report["refused"] is None


def test_what_a_search_refuses_is_shown_with_the_reason(run_here, photos):
    for file in (photos / "birds").glob("*"):
        if file.stem != "0":
            file.unlink()
    code, printed = run_here("data", "photos")
    assert code == 1
    assert re.search(r"birds +1\n", printed)
    assert re.search(r"3 classes +22\n", printed)
    assert "Error: " in printed
    code, printed = run_here("data", "photos", "--json")
    shown, end = json.JSONDecoder().raw_decode(printed)
    assert (code, shown["classes"]) == (1, ["birds", "cats", "dogs"])
    assert shown["counts"] == {"train": [1, 10, 11]}
    assert shown["left_out"][0]["count"] == 20
    assert shown["refused"] in " ".join(printed[end:].split())


def test_a_refused_folder_and_table_show_what_they_hold(run_here, photos, tmp_path):
    (photos / "empty").mkdir()
    code, printed = run_here("data", "photos", "--json")
    shown, _ = json.JSONDecoder().raw_decode(printed)
    assert (code, shown["classes"]) == (1, None)
    assert shown["folders"] == {"birds": 10, "cats": 10, "dogs": 11, "empty": 0}
    (tmp_path / "labels.csv").write_text("what,which\na,b\nc,d\n", "utf-8")
    code, printed = run_here("data", "labels.csv")
    assert code == 1
    assert "2 rows with the columns 'what', 'which'" in printed


def test_data_that_are_not_there_are_an_error_alone(run_here):
    code, printed = run_here("data", "gone", "--json")
    shown, _ = json.JSONDecoder().raw_decode(printed)
    assert (code, list(shown)) == (1, ["refused"])


def test_a_question_about_splits_is_answered_with_an_option(run_here, photos, tmp_path):
    splits = tmp_path / "splits"
    splits.mkdir()
    photos.rename(splits / "training_set")
    (splits / "test_set").symlink_to(splits / "training_set")
    code, printed = run_here("data", "splits")
    assert code == 1
    assert "--split-folders train=training_set,test=test_set" in printed
    assert re.search(r"test_set/dogs +11\n", printed)
    assert "left out: 40 .heic in a format that is not read" in printed
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
