"""A source is inspected once, until what the system says of its files changes."""

from __future__ import annotations

import pytest
from attentune.runners.data import inspect_data

from ..image_files import PACKINGS, SHADES, TWENTY, files, folder, pack, plain_image


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_source_is_inspected_once_until_it_changes(packing, tmp_path, cache, monkeypatch):
    path = pack(tmp_path, packing, files(TWENTY))
    info = inspect_data(str(path))
    inspected = [*cache.rglob("sources/*")]
    with monkeypatch.context() as patch:
        patch.setattr("attentune.runners.data.sources.folder_source.FileSource.count_images", None)
        assert inspect_data(str(path)) == info
    inspected[0].write_text("{")
    assert inspect_data(str(path)) == info
    assert [*cache.rglob("sources/*")] == inspected
    pack(tmp_path, packing, files({"cats": 30, "dogs": 20, "owls": 20}))
    assert sum(inspect_data(str(path)).counts.values()) == 70


def test_an_inspected_source_with_a_changed_digit_is_inspected_again(tmp_path, cache):
    path = folder(tmp_path / "pets", files(TWENTY))
    before = {*cache.rglob("sources/*")}
    info = inspect_data(str(path))
    (file,) = {*cache.rglob("sources/*")} - before
    whole = file.read_text("utf-8")
    file.write_text(whole.replace('"image_size": ', '"image_size": 1'))
    assert file.read_text("utf-8") != whole
    assert inspect_data(str(path)) == info


@pytest.mark.parametrize(
    ("size", "native", "sensible"),
    [((28, 28), 28, 28), ((32, 40), 32, 32), ((70, 66), 66, 64), ((500, 375), 375, 224)],
)
def test_inspecting_proposes_a_sensible_size(size, native, sensible, tmp_path):
    for label in ("cats", "dogs"):
        for number in range(4):
            file = tmp_path / "pets" / label / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            plain_image(SHADES[label], number, size).save(file)
    info = inspect_data(str(tmp_path / "pets"))
    assert (info.native_size, info.image_size) == (native, sensible)
    assert info.flip
    assert info.crop == sensible // 8
    assert info.counts == {"train": 8}
