"""A study goes on with the data that it was searched on, or says what has changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from attentune.errors import DataError, StudyError
from attentune.runners.data import find_prepared_data, open_data
from attentune.runners.data.files import folder_listing
from attentune.search.run import session
from attentune.search.run.confirm import ConfirmRequest
from attentune.search.run.data_options import DataOptions
from attentune.search.run.session import confirm_study, create_study, run_study
from attentune.search.run.study_setup import set_up
from attentune.search.setup import resolve
from attentune.search.setup.request import read_request
from attentune.studies.database.schema import DataRecordRow
from attentune.studies.outputs.attention_maps import request_for_trial
from attentune.studies.outputs.export import describe, read_data_info
from PIL import Image
from sqlalchemy import delete

REQUEST = {
    "backbone": "test_resnet",
    "image_size": 16,
    "epochs": 2,
    "trials": 2,
    "workers": 1,
    "device": "cpu",
    "precision": "float32",
    "memory_format": "channels_last",
    "stem": "native",
}


def draw(folder: Path, classes: dict[str, int], first: int = 0) -> Path:
    """Class folders of small images, each with content of its own."""
    for shade, (name, count) in enumerate(sorted(classes.items())):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + count):
            rng = np.random.default_rng([len(name), ord(name[0]), number])
            pixels = rng.integers(60 * shade, 60 * shade + 60, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number:03}.png")
    return folder


@pytest.fixture(autouse=True)
def formula_pools(bench, monkeypatch):
    """Workers need no time, and no learning rate is tuned."""
    monkeypatch.setattr(session, "make_pool", lambda *_: bench.new_pool())
    monkeypatch.setattr(session, "warm_up", lambda: None)
    monkeypatch.setattr(
        resolve, "autotune_learning_rate", lambda _request, recipe, *_: (recipe, ())
    )


@pytest.fixture
def photos(tmp_path):
    return draw(tmp_path / "photos", {"cats": 20, "dogs": 20})


@pytest.fixture
def study(bench, photos):
    """A study of two trials on the photos."""
    request = read_request({**REQUEST, "data": str(photos)}, None)
    record = create_study(bench.store, "s", request)
    run_study(bench.store, record)
    return bench.store.studies.get("s")


def exported(bench, study, number: int = 0, **options):
    """The contents of `architecture.json` that concern the data."""
    trial = bench.store.trials.get(study, number)
    facts = describe(study, trial, read_data_info(bench.store, study, trial, **options))
    return {name: facts[name] for name in ("classes", "mean", "std", "num_classes", "data")}


def rename_class(photos):
    (photos / "cats").rename(photos / "felines")


def add_class(photos):
    draw(photos, {"owls": 8})


def delete_images(photos):
    for number in range(5):
        (photos / f"cats/{number:03}.png").unlink()


CHANGES = {
    "renamed class": (rename_class, "the class 'cats' is called 'felines' now"),
    "added class": (add_class, "the class 'owls' was added"),
    "deleted images": (delete_images, "5 images are gone"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_data_stop_resume_confirm_and_export_until_that_is_allowed(
    name, bench, study, photos, caplog
):
    before = exported(bench, study)
    assert before["classes"] == ["cats", "dogs"]
    keys = {job.data_key for job in bench.pool.started}
    change, sentence = CHANGES[name]
    change(photos)
    with pytest.raises(DataError, match=sentence):
        exported(bench, study)
    with pytest.raises(DataError, match=sentence):
        run_study(bench.store, study, plan_changes={"trials": 3})
    with pytest.raises(DataError, match=sentence):
        confirm_study(bench.store, study, ConfirmRequest(top=1, seeds=2))
    assert bench.store.studies.get("s").config.plan.trials == 2
    options = DataOptions(allow_changed_data=True)
    assert exported(bench, study, allow_changed=True) == before
    assert run_study(bench.store, study, (), {"trials": 3}, options).trials == 3
    assert sentence in caplog.text
    assert {job.data_key for job in bench.pool.started} == keys, "the recorded images"


def test_after_the_cache_is_lost_no_training_image_is_tested_on(bench, study, photos):
    """Deleted images once shifted the splits, so that training images were in the test split."""
    record = bench.store.data_records.get(study)
    before = open_data(find_prepared_data(record.info.key))
    trained = {image.tobytes() for image in before.train.images}
    delete_images(photos)
    shutil.rmtree(find_prepared_data(record.info.key).folder)
    options = DataOptions(allow_changed_data=True)
    confirm_study(bench.store, study, ConfirmRequest(top=1, seeds=2), (), options)
    (key,) = {job.data_key for job in bench.pool.started}
    after = open_data(find_prepared_data(key))
    assert not trained & {image.tobytes() for image in after.test.images}
    assert len(after.train) < len(before.train)
    assert key != record.info.key, "results on other images are not compared image by image"


def test_moved_data_are_found_by_their_content_and_remembered(bench, study, photos, tmp_path):
    keys = {job.data_key for job in bench.pool.started}
    moved = photos.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="--data"):
        run_study(bench.store, study, plan_changes={"trials": 3})
    assert exported(bench, study)["classes"] == ["cats", "dogs"], "an export needs no images"
    options = DataOptions(str(moved))
    assert run_study(bench.store, study, (), {"trials": 3}, options).trials == 3
    assert bench.store.data_records.get(study).place == str(moved)
    assert run_study(bench.store, study, plan_changes={"trials": 4}).trials == 4
    assert {job.data_key for job in bench.pool.started} == keys
    assert bench.store.studies.get("s").config.recipe == study.config.recipe


def test_other_data_in_the_new_place_are_refused_and_not_remembered(bench, study, photos, tmp_path):
    other = draw(tmp_path / "other", {"cats": 20, "dogs": 20}, first=100)
    with pytest.raises(DataError, match="40 images are gone"):
        run_study(bench.store, study, (), {"trials": 3}, DataOptions(str(other)))
    options = DataOptions(str(other), allow_changed_data=True)
    assert run_study(bench.store, study, (), {"trials": 3}, options).trials == 3
    assert bench.store.data_records.get(study).place == str(photos)


def test_a_bare_name_of_a_folder_is_stored_resolved(bench, photos, tmp_path, monkeypatch):
    """A study of `--data photos` once trained on another folder of that name."""
    monkeypatch.chdir(tmp_path)
    request = read_request({**REQUEST, "data": "photos"}, None)
    record = create_study(bench.store, "s", request)
    assert record.config.recipe.data == str(photos)
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    draw(tmp_path / "there/photos", {"apples": 9, "pears": 9})
    run_study(bench.store, record)
    assert exported(bench, record)["classes"] == ["cats", "dogs"]


def test_a_link_is_followed_once(bench, photos, tmp_path):
    link = tmp_path / "current"
    link.symlink_to(photos)
    record = create_study(bench.store, "s", read_request({**REQUEST, "data": str(link)}, None))
    assert record.config.recipe.data == str(photos)


def test_further_splits_and_larger_images_are_recorded(bench, study, photos):
    request = ConfirmRequest(top=1, seeds=2, splits=2, alternatives=True)
    confirm_study(bench.store, study, request)
    record = bench.store.data_records.get(study)
    seeds = sorted(data.settings["data_seed"] for data in record.further)
    assert 1 in seeds
    sizes = {data.info.image_size for data in record.further}
    assert sizes == {16, 20}
    study = bench.store.studies.get("s")
    means = [exported(bench, study, number)["mean"] for number in (0, 1_000_000)]
    rename_class(photos)
    again = [exported(bench, study, n, allow_changed=True)["mean"] for n in (0, 1_000_000)]
    assert again == means


def test_attention_maps_show_the_images_of_the_study(bench, study, photos, tmp_path):
    weights = bench.store.trial_file(study, 0, "model.safetensors")
    weights.parent.mkdir(parents=True, exist_ok=True)
    weights.touch()
    request = request_for_trial(bench.store, study, 0)
    assert request.data_key == bench.store.data_records.get(study).info.key
    assert request.to_json()["data_key"] == request.data_key


def forget_record(bench, study) -> None:
    """Make the study one of a version that recorded nothing."""
    with bench.store.begin("commit") as connection:
        connection.execute(delete(DataRecordRow).where(DataRecordRow.study_id == study.id))


def test_a_study_without_a_record_goes_on_and_gets_one(bench, study, photos):
    forget_record(bench, study)
    assert exported(bench, study)["classes"] == ["cats", "dogs"]
    assert run_study(bench.store, study, plan_changes={"trials": 3}).trials == 3
    record = bench.store.data_records.get(study)
    assert record.classes == ("cats", "dogs")
    rename_class(photos)
    with pytest.raises(DataError, match="'felines'"):
        run_study(bench.store, study, plan_changes={"trials": 4})


def test_a_study_without_a_record_refuses_another_number_of_classes(bench, study, photos):
    forget_record(bench, study)
    add_class(photos)
    with pytest.raises(StudyError, match="has 3 classes"):
        exported(bench, study)
    with pytest.raises(StudyError, match="has 3 classes"):
        run_study(bench.store, study, plan_changes={"trials": 3})


def test_a_study_that_is_being_set_up_takes_a_new_place(bench, photos, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(resolve, "autotune_learning_rate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            create_study(bench.store, "s", read_request({**REQUEST, "data": str(photos)}, None))
    moved = photos.rename(tmp_path / "elsewhere")
    record = bench.store.studies.get("s")
    run_study(bench.store, record, data_options=DataOptions(str(moved)))
    assert bench.store.studies.get("s").config.recipe.data == str(moved)


def test_the_folder_is_listed_once_for_the_whole_set_up(bench, photos, monkeypatch):
    walks = []
    plain = folder_listing.walk_folder
    monkeypatch.setattr(folder_listing, "walk_folder", lambda top: walks.append(top) or plain(top))
    request = read_request({**REQUEST, "data": str(photos), "trials": 1}, None)
    record = create_study(bench.store, "s", request)
    set_up(bench.store, record)
    assert walks == [photos]
    run_study(bench.store, bench.store.studies.get("s"))
    assert len(walks) == 2, "and once to compare it with the record"
