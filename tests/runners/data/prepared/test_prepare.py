"""Decoding a source into arrays: statistics, progress, and what happens to broken images."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.errors import DataError
from attentune.runners.data import load_data, prepare_data
from PIL import Image

from ..image_files import TWENTY, files, folder, recipe


def test_mean_and_deviation_are_of_the_training_images(tmp_path):
    data = load_data(recipe(folder(tmp_path / "pets", files(TWENTY))))
    pixels = data.train.images.reshape(-1, 3) / 255
    np.testing.assert_allclose(data.mean, pixels.mean(0), atol=1e-6)
    np.testing.assert_allclose(data.std, pixels.std(0), atol=1e-5)


def test_images_of_one_colour_have_no_deviation_of_zero(tmp_path):
    for name in ("aa/1", "aa/2", "aa/3", "bb/1", "bb/2", "bb/3"):
        file = tmp_path / "black" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(file)
    assert min(load_data(recipe(tmp_path / "black")).std) > 0


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
    with pytest.raises(DataError, match=r"class .owls. can.*20 images.*owls/000.png \(not an"):
        load_data(recipe(folder(tmp_path / "pets", contents), skip_broken=True))


def test_progress_ends_at_the_number_of_images(tmp_path):
    seen = []
    path = folder(tmp_path / "pets", files(TWENTY))
    prepare_data(recipe(path), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (60, 60)
    assert seen == sorted(seen)


def test_all_broken_images_are_named_with_their_reasons_in_one_run(tmp_path, caplog):
    contents = files(TWENTY)
    contents |= {"cats/001.png": b"", "dogs/002.png": b"no image", "owls/003.png": b"\x89PNG"}
    path = folder(tmp_path / "pets", contents)
    with pytest.raises(DataError) as error:
        prepare_data(recipe(path))
    message = str(error.value)
    assert message.startswith("3 images of pets cannot be decoded: ")
    assert message.endswith("or leave such images out with --skip-broken")
    for name in ("cats/001.png (", "dogs/002.png (not an image", "owls/003.png ("):
        assert name in message
    contents |= {name: b"broken" for name in contents if name.startswith("cats")}
    with pytest.raises(DataError, match=r"22 images .* and 14 more, listed above"):
        prepare_data(recipe(folder(tmp_path / "pets", contents)))
    logged = [record.getMessage() for record in caplog.records]
    assert sum("cannot be decoded (" in line for line in logged) == 22


def test_images_in_several_splits_are_counted(tmp_path):
    contents = files({"cats": 8, "dogs": 8})
    copies = {name.replace(".png", "-copy.png"): content for name, content in contents.items()}
    info = prepare_data(recipe(folder(tmp_path / "twins", contents | copies), 12))
    assert info.repeated["test"] > 0
    assert info.repeated["val"] <= info.counts["val"]
    assert not prepare_data(recipe(folder(tmp_path / "single", contents), 12)).repeated
