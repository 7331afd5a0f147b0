"""Archives as stores of files: hostile names, and damage."""

from __future__ import annotations

import random

import pytest
from attentune.errors import DataError
from attentune.runners.data import prepare_data
from chaos.hostile_archives import HOSTILE_DATA, IMAGES, mutated_archive

from ..image_files import TWENTY, files, folder, pack, recipe


def test_hostile_names_in_archives_are_left_out(tmp_path):
    outside = tmp_path / "outside"
    folder(outside, files({"cats": 2}))
    contents = {
        **files(TWENTY),
        "../outside/cats/000.png": b"x",
        "/etc/cats/1.png": b"x",
        "dogs/../../1.png": b"x",
    }
    for packing in ("tar", "zip"):
        info = prepare_data(recipe(pack(tmp_path / packing, packing, contents)))
        assert sum(info.counts.values()) == 60
    assert sorted(p.name for p in outside.rglob("*.png")) == ["000.png", "001.png"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("packing", ["tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_a_mutated_archive_is_refused_in_a_sentence_or_read(packing, seed, tmp_path):
    path = tmp_path / f"pets.{packing}"
    path.write_bytes(mutated_archive(packing, random.Random(seed)))
    try:
        info = prepare_data(recipe(path, skip_broken=True))
    except DataError:  # Any other exception would be a traceback.
        return
    assert sum(info.counts.values()) + len(info.broken) <= IMAGES + 1


def test_a_damaged_image_in_an_archive_can_be_left_out(tmp_path):
    path = HOSTILE_DATA["zip: a wrong checksum"].make(tmp_path)
    info = prepare_data(recipe(path, skip_broken=True))
    assert info.broken == (f"{path}:cats/000.png",)
    assert sum(info.counts.values()) == IMAGES - 1
