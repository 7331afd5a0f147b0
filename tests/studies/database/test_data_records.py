"""What a study was searched on, in the database."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from attentune.errors import StoreError
from attentune.runners.data.dataset import DataInfo
from attentune.runners.data.prepared.record import DataRecord, ImageList, RecordedImages
from attentune.runners.data.prepared.splits import RowSelection, SplitPlan
from attentune.runners.data.preprocessing import Preprocessing
from attentune.runners.data.sources.source import SourceOptions
from attentune.runners.data.sources.split_folders import FolderLayout
from attentune.studies.database.schema import DataRecordRow
from attentune.studies.database.store import Store
from sqlalchemy import select, update

SETTINGS = {"train_limit": None, "val_fraction": 0.2, "data_seed": 0, "fold": None}


def made_record() -> DataRecord:
    """A record of six images, with all that a record can hold."""
    images = RecordedImages(
        [f"cats/{number}.png" for number in range(6)],
        np.array([0, 0, 0, 1, 1, 1]),
        np.arange(1, 7, dtype=np.uint64) << np.uint64(40),
        np.array([0, 0, 1, 1, 2, 2]),
        np.array([0, 0.1, 1, 1, 2, 0.5]),
    )
    rows = {"train": [3, 0], "val": [1, 4], "test": [2, 5]}
    selections = {split: RowSelection("train", np.array(each)) for split, each in rows.items()}
    counts = dict.fromkeys(rows, 2)
    made, held_out = Preprocessing(16), ("val", "test")
    folder = Path(24 * "k")
    info = DataInfo("pets", ("cats", "dögs"), counts, held_out, made, True, 2, folder)
    options = SourceOptions("/images", ("label=kind",), False, FolderLayout(None, ("masks",)))
    plan = SplitPlan(selections, ("val", "test"))
    return DataRecord(
        "table", "/pets.csv", info, SETTINGS, options, 2, ImageList({"train": images}, plan)
    )


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "s.db", create=True) as opened:
        opened.studies.create("s", backbone="resnet18", objectives=("accuracy",), config={}, seed=0)
        yield opened


def test_a_record_is_stored_changed_and_removed_with_its_study(store):
    assert store.data_records.get("s") is None
    assert store.data_records.read_classes("s") is None
    record = made_record()
    store.data_records.put("s", record)
    assert store.data_records.read_classes("s") == record.classes
    stored = store.data_records.get("s")
    assert stored.to_json() == record.to_json()
    assert stored.options == record.options
    assert stored.image_list.images["train"].groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert stored.image_list.images["train"].weights.tolist() == [0, 0.1, 1, 1, 2, 0.5]
    assert stored.image_list.plan.selections["val"].rows.tolist() == [1, 4]
    store.data_records.change_facts("s", record.at("/elsewhere.csv", "table", record.options))
    assert store.data_records.get("s").place == "/elsewhere.csv"
    assert store.data_records.get("s").fingerprint == record.fingerprint
    store.delete_study("s")
    with store.begin("read") as connection:
        assert connection.execute(select(DataRecordRow)).all() == []


@pytest.mark.parametrize(
    "damage", [{"images": b"nothing"}, {"facts": {}}, {"facts": {"info": []}}, {"images": b""}]
)
def test_a_damaged_record_is_a_sentence(damage, store):
    store.data_records.put("s", made_record())
    with store.begin("commit") as connection:
        connection.execute(update(DataRecordRow).values(**damage))
    with pytest.raises(StoreError, match="record of a study's data"):
        store.data_records.get("s")
    if "facts" in damage:
        with pytest.raises(StoreError, match="record of a study's data"):
            store.data_records.read_classes("s")
