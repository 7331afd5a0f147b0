"""Embedded digits: their numbers, what they show, and that nothing leaks between splits."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.runners.data import Split, inspect_data, load_data
from attentune.runners.data.sources.embedded import draw_images

from ..image_files import recipe

EMBEDDED = ("digits", "cluttered-digits", "cued-digits")


@pytest.fixture(scope="session")
def embedded_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("embedded")


@pytest.fixture
def embedded(embedded_cache, monkeypatch):
    """Embedded data is drawn once for all tests."""
    monkeypatch.setenv("ATTENTUNE_CACHE", str(embedded_cache))


def same(first: Split, second: Split) -> bool:
    return np.array_equal(first.images, second.images) and np.array_equal(
        first.labels, second.labels
    )


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_has_its_numbers_and_sizes(name, embedded):
    info = inspect_data(name)
    assert (info.native_size, info.image_size) == (36, 36)
    data = load_data(recipe(name, info.image_size))
    assert [len(s) for s in (data.train, data.val, data.test)] == [6000, 2000, 2000]
    assert data.train.images.shape == (6000, 36, 36, 3)
    assert data.train.images.dtype == np.uint8
    assert data.train.labels.dtype == np.int64
    assert data.classes == tuple("0123456789")
    assert not data.flip
    assert data.crop <= 2
    assert min(np.bincount(data.train.labels)) > 400


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_is_drawn_the_same_again(name, embedded, tmp_path, monkeypatch):
    first = load_data(recipe(name, 36))
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path))
    second = load_data(recipe(name, 36))
    assert same(first.train, second.train)
    assert same(first.test, second.test)


def test_no_scan_is_in_two_splits():
    from attentune.runners.data.sources.embedded import _scans_of_split

    scans = [
        {p.tobytes() for p in _scans_of_split(split).images} for split in ("train", "val", "test")
    ]
    assert sum(map(len, scans)) == 1797
    assert len(set.union(*scans)) == 1797


def test_digits_are_recognised_by_their_nearest_neighbour(embedded):
    data = load_data(recipe("digits", 36))

    def coarse(split: Split, count: int) -> np.ndarray:
        grey = split.images[:count, ..., 0].astype(np.float32)
        return grey.reshape(count, 12, 3, 12, 3).mean((2, 4)).reshape(count, -1)

    train, test = coarse(data.train, 3000), coarse(data.test, 300)
    distance = (train**2).sum(1) - 2 * test @ train.T
    guessed = data.train.labels[distance.argmin(1)]
    assert (guessed == data.test.labels[:300]).mean() > 0.85


def test_the_tint_of_cued_digits_points_at_one_hue(embedded):
    data = load_data(recipe("cued-digits", 36))
    images = data.train.images.astype(np.float32) / 255
    # The darkest fifth of every channel is background: there the cued channel is brighter.
    background = np.sort(images.reshape(len(images), -1, 3), axis=1)[:, :650].mean(1)
    ordered = np.sort(background, axis=1)
    assert (ordered[:, 2] - ordered[:, 1]).mean() > 3 * (ordered[:, 1] - ordered[:, 0]).mean()
    assert min(np.bincount(background.argmax(1), minlength=3)) > 1500


def test_embedded_data_can_be_drawn_at_another_size_and_limited(embedded):
    data = load_data(recipe("cluttered-digits", 24, train_limit=500))
    assert data.train.images.shape == (400, 24, 24, 3)
    assert (len(data.val), len(data.test)) == (100, 2000)


def test_new_images_come_from_the_scans_of_the_split_and_repeat_none_of_its_images(embedded):
    images, labels = draw_images("cued-digits", "test", 300, seed=1)
    assert images.shape == (300, 36, 36, 3)
    assert labels.shape == (300,)
    split = load_data(recipe("cued-digits", 36)).test
    assert not {image.tobytes() for image in images} & {i.tobytes() for i in split.images}
    again, _ = draw_images("cued-digits", "test", 300, seed=1)
    other, _ = draw_images("cued-digits", "test", 300, seed=2)
    assert np.array_equal(images, again)
    assert not np.array_equal(images, other)
