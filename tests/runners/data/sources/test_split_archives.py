"""Archives in a folder that are the splits of one data set."""

from __future__ import annotations

import pytest
from attentune.errors import DataError
from attentune.runners.data import FolderLayout, SourceOptions, inspect_data, prepare_data

from ..image_files import TWENTY, archive, files, recipe


def test_a_folder_of_split_archives_is_one_data_set(tmp_path):
    archive(tmp_path / "set/train.tar.gz", files(TWENTY, "train/"))
    archive(tmp_path / "set/test.zip", files({"cats": 4, "dogs": 4}, "test/", first=30))
    (tmp_path / "set/README.md").write_text("hello")
    info = prepare_data(recipe(tmp_path / "set"))
    assert info.counts == {"train": 48, "val": 12, "test": 8}
    assert info.held_out == ("val",)
    alone = prepare_data(recipe(tmp_path / "set/train.tar.gz"))
    assert alone.counts == {"train": 38, "val": 10, "test": 12}


def test_archives_that_are_splits_are_named_by_the_user_and_the_others_are_counted(tmp_path):
    archive(tmp_path / "set/train2017.zip", files(TWENTY))
    archive(tmp_path / "set/val2017.tar", files({"cats": 4, "dogs": 4}, first=30))
    archive(tmp_path / "set/extra.zip", files(TWENTY))
    (tmp_path / "set/notes.txt").write_text("hello")
    with pytest.raises(DataError, match=r"'train2017.zip' and|archives .*'train2017.zip'"):
        inspect_data(str(tmp_path / "set"))
    layout = FolderLayout("train=train2017.zip,val=val2017.tar")
    info = inspect_data(str(tmp_path / "set"), SourceOptions(layout=layout))
    assert info.counts == {"train": 60, "val": 8}
    assert "1 .txt that are not named as images" in info.remarks[0]
    assert "1 .zip in folders that --split-folders does not name" in info.remarks[0]


def test_two_archives_of_one_split_are_a_question(tmp_path):
    archive(tmp_path / "set/train.zip", files(TWENTY))
    archive(tmp_path / "set/train.tar", files(TWENTY))
    with pytest.raises(DataError, match="not clear which splits"):
        inspect_data(str(tmp_path / "set"))
