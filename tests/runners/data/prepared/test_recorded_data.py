"""The data of a study are those that it was searched on, whatever its source has become."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from attentune.errors import DataError
from attentune.runners.data import load_data, open_data, prepare_data
from attentune.runners.data.prepared.cache import prepare_unrecorded_data
from attentune.runners.data.prepared.record import DataRecord
from attentune.runners.data.prepared.recorded_data import (
    RecordedData,
    find_recorded_data,
    record_data,
    record_unrecorded_data,
)
from attentune.runners.data.preprocessing import Preprocessing

from ..image_files import PACKINGS, TWENTY, archive, files, files_by_split, folder, pack, recipe
from ..timm_stand_ins import IndexedSet


def stand_in(split: str, first: int = 0) -> IndexedSet:
    """A set of timm whose images are numbered from `first`."""
    return IndexedSet(60, first) if split == "train" else IndexedSet(12, first + 60)


@pytest.fixture
def pets(tmp_path):
    return folder(tmp_path / "pets", files(TWENTY))


def recorded(path, **fields) -> DataRecord:
    settings = recipe(path, **fields)
    return record_data(settings, prepare_data(settings))


def forget(cache) -> None:
    """Lose the cache, as on another machine."""
    shutil.rmtree(cache)


def rename_class(pets):
    (pets / "cats").rename(pets / "felines")


def add_class(pets):
    folder(pets, {f"birds/{n}.png": c for n, c in enumerate(files({"cats": 5}).values())})


def remove_class(pets):
    shutil.rmtree(pets / "owls")


def delete_images(pets):
    for number in range(3, 9):
        (pets / f"cats/{number:03}.png").unlink()


def add_images(pets):
    folder(pets, files({"cats": 4}, first=50))


def exchange_images(pets):
    first, second = pets / "cats/001.png", pets / "dogs/001.png"
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def change_image(pets):
    (pets / "cats/001.png").write_bytes(files({"cats": 1}, first=77)["cats/077.png"])


def hold_out_images(pets):
    """Move some images into a test split of their own."""
    for name in ("cats", "dogs", "owls"):
        (pets / "train").mkdir(exist_ok=True)
        (pets / name).rename(pets / "train" / name)
        (pets / "test" / name).mkdir(parents=True)
        (pets / "train" / name / "002.png").rename(pets / "test" / name / "002.png")


CHANGES = {
    "renamed class": (rename_class, "the class 'cats' is called 'felines' now"),
    "added class": (add_class, "the class 'birds' was added"),
    "removed class": (remove_class, "the class 'owls' is gone"),
    "deleted images": (delete_images, r"6 images are gone \(cats/003.png, .*, …\)"),
    "added images": (add_images, r"4 images were added \(cats/050.png"),
    "exchanged images": (exchange_images, "2 images are in another class"),
    "changed image": (change_image, r"1 image was changed \(cats/001.png\)"),
    "another split": (hold_out_images, "3 images are in another split"),
}
STILL_COMPLETE = ("renamed class", "added class", "added images", "exchanged images")


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_refused_and_said(name, pets):
    record = recorded(pets)
    change, sentence = CHANGES[name]
    assert not RecordedData.open(record).changes
    change(pets)
    with pytest.raises(DataError, match=f"have changed.*{sentence}.*--allow-changed-data"):
        RecordedData.open(record)


@pytest.mark.parametrize("is_cached", [True, False], ids=["cached", "without cache"])
@pytest.mark.parametrize("name", CHANGES)
def test_what_is_left_keeps_its_class_and_split(name, is_cached, pets, cache):
    record = recorded(pets)
    before = files_by_split(open_data(record.info))
    CHANGES[name][0](pets)
    if not is_cached:
        forget(cache)
    data = RecordedData.open(record, allow_changed=True)
    if name == "removed class" and not is_cached:
        with pytest.raises(DataError, match="no training image of class 'owls' is left"):
            data.prepare(recipe(pets))
        return
    info = data.prepare(recipe(pets), verify=True)
    after = files_by_split(open_data(info))
    assert info.classes == record.classes
    assert (info.mean, info.std) == (record.info.mean, record.info.std)
    assert all(after[split] <= before[split] for split in before)
    if is_cached or name in STILL_COMPLETE:
        assert (after, info.key) == (before, record.info.key)
        assert info == replace(record.info, broken=info.broken)


def test_other_weights_of_a_table_are_said_and_the_recorded_ones_are_used(pets, cache):
    names = [f"{name}/{number:03}.png" for name in TWENTY for number in range(20)]

    def write(*weights: str) -> Path:
        rows = [f"{name},{name[:4]},{weights[n % 2]}" for n, name in enumerate(names)]
        table = pets / "pets.csv"
        table.write_text("\n".join(["path,label,weight", *rows]), "utf-8")
        return table

    table = write("1", "2")
    record, weights = recorded(table), load_data(recipe(table)).train.weights
    write("1", "3")
    with pytest.raises(DataError, match=r"30 images have other weights \(cats/001.png, "):
        RecordedData.open(record)
    write("1", "1")
    with pytest.raises(DataError, match="the images have no weights now"):
        RecordedData.open(record)
    forget(cache)
    info = RecordedData.open(record, allow_changed=True).prepare(recipe(table))
    np.testing.assert_array_equal(open_data(info).train.weights, weights)


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_same_content_elsewhere_is_the_same_data(packing, pets, tmp_path, cache):
    record = recorded(pets)
    moved = pack(tmp_path / "elsewhere", packing, files(TWENTY))
    shutil.rmtree(pets)
    with pytest.raises(DataError, match="--data"):
        RecordedData.open(record)
    data = RecordedData.open(record, str(moved))
    assert data.record.place == str(moved)
    assert data.prepare(recipe(pets)) == record.info
    forget(cache)
    again = RecordedData.open(record, str(moved)).prepare(recipe(pets))
    assert again == record.info
    assert RecordedData.open(data.record).record.place == str(moved)


def test_other_content_elsewhere_is_refused(pets, tmp_path):
    record = recorded(pets)
    other = folder(tmp_path / "other", files({**TWENTY, "cats": 18}))
    with pytest.raises(DataError, match="2 images are gone"):
        RecordedData.open(record, str(other))


def test_images_that_are_renamed_within_their_class_are_the_same_data(pets, cache):
    record = recorded(pets)
    for file in (pets / "cats").iterdir():
        file.rename(file.with_name(f"cat-{29 - int(file.stem):02}.png"))
    forget(cache)
    data = RecordedData.open(record)
    assert files_by_split(open_data(data.prepare(recipe(pets)))) == files_by_split(
        load_data(recipe(folder(pets.with_name("again"), files(TWENTY))))
    )


def test_a_source_that_is_gone_stops_only_what_needs_its_images(pets, cache, caplog):
    record = recorded(pets)
    shutil.rmtree(pets)
    data = RecordedData.open(record, allow_gone=True)
    assert "could not be compared" in caplog.text
    assert data.prepare(recipe(pets)) == record.info
    forget(cache)
    with pytest.raises(DataError, match="no copy of them; give the place"):
        RecordedData.open(record, allow_gone=True).prepare(recipe(pets))


def test_nothing_left_of_a_split_is_an_error(pets, cache):
    record = recorded(pets)
    for file in pets.rglob("*.png"):
        file.unlink()
    folder(pets, files(TWENTY, first=40))
    forget(cache)
    with pytest.raises(DataError, match=r"none of the images of the .* split is left"):
        RecordedData.open(record, allow_changed=True).prepare(recipe(pets))


@pytest.mark.parametrize("data_seed", [0, 1], ids=["searched", "further"])
def test_the_same_files_may_be_decoded_to_other_values(data_seed, pets, cache, monkeypatch, caplog):
    """As after an update of Pillow."""
    record, settings = recorded(pets), recipe(pets, data_seed=data_seed)
    if data_seed:
        record = record.with_info(settings, RecordedData.open(record).prepare(settings))
    forget(cache)
    apply = Preprocessing.apply
    monkeypatch.setattr(Preprocessing, "apply", lambda self, image: apply(self, image) ^ 1)
    info = RecordedData.open(record).prepare(settings)
    assert info.key == record.info_of(settings).key
    assert info.checksums != record.info_of(settings).checksums
    assert "slightly other values, as by another version of Pillow" in caplog.text


def with_checksums(record, **checksums):
    files_of_splits = {f"val.{kind}.npy": number for kind, number in checksums.items()}
    changed = {**record.info.checksums, **files_of_splits}
    return replace(record, info=replace(record.info, checksums=changed))


def with_other_content(record):
    listed = record.image_list
    train = listed.images["train"]
    images = {**listed.images, "train": replace(train, hashes=train.hashes + np.uint64(1))}
    return replace(with_checksums(record, images=7), image_list=replace(listed, images=images))


@pytest.mark.parametrize(
    "change",
    [with_other_content, lambda record: with_checksums(record, images=7, labels=7)],
    ids=["other files", "other files left out"],
)
def test_prepared_data_of_other_images_are_refused(change, pets):
    record = recorded(pets)
    other = change(record)
    with pytest.raises(DataError, match=r"not those that the study was searched on.*--allow"):
        RecordedData(other, None).prepare(recipe(pets))
    assert RecordedData(other, None, allow_changed=True).prepare(recipe(pets)) == record.info


def test_the_normalisation_of_pretrained_weights_is_kept(pets, cache):
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)
    settings = recipe(pets, normalisation=(mean, std))
    record = record_data(settings, prepare_data(settings))
    assert (record.info.mean, record.info.std) == (mean, std)
    assert load_data(settings, key=record.info.key).mean == mean
    forget(cache)
    assert RecordedData.open(record).prepare(settings) == record.info


def test_further_splits_and_sizes_follow_from_the_record(pets):
    """A confirmation of several splits, and larger images, after images were added."""
    record = recorded(pets)
    further = [recipe(pets, data_seed=1), recipe(pets, image_size=9)]
    expected = [files_by_split(load_data(each)) for each in further]
    infos = [RecordedData.open(record).prepare(each) for each in further]
    assert [find_recorded_data(record, each) for each in further] == infos
    add_images(pets)
    data = RecordedData.open(record, allow_changed=True)
    assert [data.prepare(each) for each in further] == infos
    assert [files_by_split(open_data(info)) for info in infos] == expected


def test_images_that_are_not_used_may_change_but_not_come_or_go(pets):
    record = recorded(pets, train_limit=12)
    selections = record.image_list.plan.selections.values()
    used = {row for selection in selections for row in selection.rows.tolist()}
    names = record.image_list.images["train"].names
    unused = [name for row, name in enumerate(names) if row not in used]
    (pets / unused[0]).write_bytes(b"anything")
    assert not RecordedData.open(record).changes
    (pets / unused[0]).unlink()
    with pytest.raises(DataError, match=f"1 image is gone .{unused[0]}"):
        RecordedData.open(record)


def test_a_class_that_loses_its_folder_is_an_error_of_the_source(tmp_path):
    pets = folder(tmp_path / "pets", files({"cats": 20, "dogs": 20}))
    record = recorded(pets)
    shutil.rmtree(pets / "dogs")
    with pytest.raises(DataError, match=r"only one class.*--allow-changed-data"):
        RecordedData.open(record)
    info = RecordedData.open(record, allow_changed=True).prepare(recipe(pets))
    assert info == record.info


def test_a_broken_image_stays_left_out(pets, cache):
    (pets / "cats/004.png").write_bytes(b"broken")
    settings = recipe(pets, skip_broken=True)
    record = record_data(settings, prepare_data(settings))
    assert len(record.info.broken) == 1
    forget(cache)
    assert RecordedData.open(record).prepare(settings) == record.info
    (pets / "cats/004.png").write_bytes(files(TWENTY)["cats/004.png"])
    with pytest.raises(DataError, match="1 image was changed"):
        RecordedData.open(record)


def test_a_name_of_timm_is_not_taken_for_a_folder_of_that_name(
    pets, tmp_path, monkeypatch, timm_sets
):
    timm_sets(
        lambda _, split: IndexedSet(60 if split == "train" else 12, 0 if split == "train" else 60)
    )
    monkeypatch.chdir(tmp_path)
    record = recorded("torch/indexed")
    assert record.kind == "timm"
    shutil.copytree(pets, tmp_path / "torch/indexed")
    data = RecordedData.open(record)
    assert not data.changes
    assert data.prepare(recipe("torch/indexed")) == record.info


def test_a_set_of_timm_with_other_images_is_refused(timm_sets, cache):
    first = [0]
    timm_sets(
        lambda _, split: IndexedSet(
            60 if split == "train" else 12, first[0] + 60 * (split != "train")
        )
    )
    record = recorded("torch/indexed")
    forget(cache)
    assert RecordedData.open(record).prepare(recipe("torch/indexed")) == record.info
    forget(cache)
    first[0] = 7
    with pytest.raises(DataError, match=r"images were changed|images are in another"):
        RecordedData.open(record)


def write_table(folder_of_table, pets, groups: int = 6, labels=None):
    """A table of the pets, whose images are in groups."""
    folder_of_table.mkdir(exist_ok=True)
    lines = ["path,label,group"]
    for number, file in enumerate(sorted(pets.rglob("*.png"))):
        name = str(file.relative_to(pets))
        label = (labels or {}).get(name, file.parent.name)
        lines.append(f"{name},{label},g{number % groups}")
    table = folder_of_table / "pets.csv"
    table.write_text("\n".join(lines) + "\n")
    return table


def test_a_table_of_labels_is_compared_and_may_move_with_its_images(pets, tmp_path, cache):
    table = write_table(tmp_path / "labels", pets)
    settings = recipe(table, data_root=str(pets))
    record = record_data(settings, prepare_data(settings))
    assert not RecordedData.open(record).changes
    further = recipe(table, data_root=str(pets), data_seed=1)
    expected = prepare_data(further)
    assert RecordedData.open(record).prepare(further) == expected, "groups are recorded"
    write_table(tmp_path / "labels", pets, labels={"cats/001.png": "dogs"})
    with pytest.raises(DataError, match="1 image is in another class"):
        RecordedData.open(record)
    write_table(tmp_path / "labels", pets, groups=5)
    with pytest.raises(DataError, match="other groups of images"):
        RecordedData.open(record)
    (tmp_path / "moved").mkdir()
    pets.rename(tmp_path / "moved/pets")
    moved = write_table(tmp_path / "moved/labels", tmp_path / "moved/pets")
    forget(cache)
    assert RecordedData.open(record, str(moved)).prepare(settings) == record.info


def test_embedded_data_are_never_read_to_compare_them(monkeypatch):
    record = recorded("digits", train_limit=100)
    monkeypatch.setattr("attentune.runners.data.sources.embedded.draw_images", None)
    assert RecordedData.open(record).prepare(recipe("digits", train_limit=100)) == record.info


def test_a_worker_never_takes_other_images_than_those_of_its_study(pets, cache):
    settings = recipe(pets)
    info = prepare_data(settings)
    delete_images(pets)
    assert len(load_data(settings, key=info.key).train) == info.counts["train"]
    forget(cache)
    with pytest.raises(DataError, match="not those that the study was searched on"):
        load_data(settings, key=info.key)


def test_data_without_a_record_keep_their_key_and_get_one(pets, cache):
    settings = recipe(pets)
    info = prepare_unrecorded_data(settings)
    assert prepare_unrecorded_data(settings, verify=True) == info
    (info.folder / "images.npz").unlink()
    record = record_unrecorded_data(settings, info)
    assert record is not None
    assert RecordedData.open(record).prepare(settings) == info
    rename_class(pets)
    with pytest.raises(DataError, match="'felines'"):
        RecordedData.open(record)
    forget(cache)
    data = RecordedData.open(record, allow_changed=True)
    assert data.prepare(settings).key == info.key
    assert record_unrecorded_data(recipe("digits"), info) is None


def test_a_record_survives_storage_and_notices_damage(pets):
    record = recorded(pets).with_info(recipe(pets, image_size=9), recorded(pets, image_size=9).info)
    facts, images = record.to_json(), record.image_list.to_bytes()
    read = DataRecord.from_stored(facts, images)
    assert read.to_json() == facts
    assert read.fingerprint == record.fingerprint
    assert read.info_of(recipe(pets, image_size=9)).image_size == 9
    assert read.info_of(recipe(pets, image_size=10)) is None
    assert str(pets.parent) not in str(facts["info"]["folder"])
    with pytest.raises(ValueError, match="damaged"):
        DataRecord.from_stored(facts, images[:-40])
    with pytest.raises(ValueError, match="not those of the record"):
        DataRecord.from_stored({**facts, "fingerprint": "another"}, images)
    with pytest.raises(ValueError, match="damaged"):
        DataRecord.from_stored({**facts, "settings": None}, images)


def test_the_record_lists_the_images_of_each_split(pets):
    record = recorded(pets)
    data = open_data(record.info)
    listed = record.image_list
    for split, selection in listed.plan.selections.items():
        labels = listed.images[selection.split].labels[selection.rows]
        assert np.array_equal(labels, getattr(data, split).labels)
    assert sorted(listed.images["train"].names) == sorted(files(TWENTY))
    assert record.place == str(pets)


def test_splits_of_a_source_in_archives_are_compared(tmp_path, cache):
    path = tmp_path / "set"
    archive(path / "train.zip", files(TWENTY))
    archive(path / "test.tar", files({"cats": 3, "dogs": 3}, first=40))
    record = recorded(path)
    assert not RecordedData.open(record).changes
    archive(path / "test.tar", files({"cats": 3, "dogs": 2}, first=40))
    with pytest.raises(DataError, match=r"1 image is gone \(dogs/042.png\)"):
        RecordedData.open(record)
