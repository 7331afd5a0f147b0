"""The cache of decoded images: prepared by one process, completely or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from attentune.errors import DataError
from attentune.runners.data import DataInfo, load_data, open_data, prepare_data

from ..image_files import PACKINGS, TWENTY, files, folder, pack, recipe


def test_prepared_data_is_decoded_once_and_mapped(tmp_path, cache, monkeypatch):
    path = folder(tmp_path / "pets", files(TWENTY))
    info = prepare_data(recipe(path))
    stamp = (info.folder / "info.json").stat().st_mtime_ns
    monkeypatch.setattr("attentune.runners.data.prepared.cache.prepare_arrays", None)
    assert prepare_data(recipe(path)) == info
    data = load_data(recipe(path))
    assert (info.folder / "info.json").stat().st_mtime_ns == stamp
    assert isinstance(data.train.images, np.memmap)
    assert not data.train.images.flags.writeable
    assert info.folder.is_relative_to(cache)
    assert not list(cache.rglob("tmp-*"))


def test_info_survives_json(tmp_path):
    info = prepare_data(recipe(folder(tmp_path / "pets", files(TWENTY))))
    assert DataInfo.from_json(json.loads(json.dumps(info.to_json()))) == info


@pytest.mark.parametrize(
    "change", [{"image_size": 9}, {"train_limit": 30}, {"val_fraction": 0.3}, {"data_seed": 1}]
)
def test_another_choice_of_images_is_prepared_apart(change, tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    first, second = prepare_data(recipe(path)), prepare_data(recipe(path, **change))
    assert first.folder != second.folder
    assert prepare_data(recipe(path, lr=0.1, epochs=3)).folder == first.folder


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_changed_source_is_prepared_again(packing, tmp_path):
    path = pack(tmp_path, packing, files(TWENTY))
    before = prepare_data(recipe(path)).counts
    pack(tmp_path, packing, files({"cats": 30, "dogs": 20, "owls": 20}))
    after = prepare_data(recipe(path)).counts
    assert sum(before.values()) == 60
    assert sum(after.values()) == 70


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


DAMAGE = [
    ("train.images.npy", truncate),
    ("val.images.npy", Path.unlink),
    ("test.labels.npy", lambda file: file.write_bytes(b"")),
    ("info.json", lambda file: file.write_text("{")),
    ("info.json", lambda file: file.write_text("{}")),
    ("info.json", Path.unlink),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGE)
def test_damaged_data_is_prepared_again(name, damage, tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    info = prepare_data(recipe(path))
    whole = {file.name: file.read_bytes() for file in info.folder.iterdir()}
    damage(info.folder / name)
    assert prepare_data(recipe(path)) == info
    assert {file.name: file.read_bytes() for file in info.folder.iterdir()} == whole


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) * 2 // 3] ^= 1
    file.write_bytes(content)


def zero(file: Path) -> None:
    size = file.stat().st_size
    file.write_bytes(file.read_bytes()[:128] + bytes(size - 128))


def change_digit(file: Path) -> None:
    text = file.read_text("utf-8")
    position = text.index('"mean": [0.') + len('"mean": [0.')
    file.write_text(
        text[:position] + str((int(text[position]) + 1) % 10) + text[position + 1 :], "utf-8"
    )


SILENT_DAMAGE = [
    ("train.images.npy", flip),
    ("val.images.npy", zero),
    ("test.images.npy", flip),
    ("train.labels.npy", flip),
    ("val.labels.npy", zero),
    ("info.json", change_digit),
]


@pytest.mark.parametrize(("name", "damage"), SILENT_DAMAGE)
def test_data_with_other_images_or_labels_is_prepared_again(name, damage, tmp_path):
    path = folder(tmp_path / "pets", files(TWENTY))
    info = prepare_data(recipe(path))
    whole = {file.name: file.read_bytes() for file in info.folder.iterdir()}
    damage(info.folder / name)
    assert prepare_data(recipe(path), verify=True) == info
    assert {file.name: file.read_bytes() for file in info.folder.iterdir()} == whole
    assert prepare_data(recipe(path), verify=True) == info


def test_prepared_data_is_flushed_to_the_disk_before_it_is_used(tmp_path, cache, monkeypatch):
    flushed = []
    monkeypatch.setattr("attentune.files.sync_file", flushed.append)
    monkeypatch.setattr("attentune.files.sync_folder", flushed.append)
    info = prepare_data(recipe(folder(tmp_path / "pets", files(TWENTY))))
    assert {file.name for file in info.folder.iterdir()} <= {path.name for path in flushed}
    assert [path for path in flushed if path.is_relative_to(cache / "data")][-1] == cache / "data"


def test_deleted_data_is_refused_with_advice(tmp_path):
    info = prepare_data(recipe(folder(tmp_path / "pets", files(TWENTY))))
    (info.folder / "train.images.npy").unlink()
    with pytest.raises(DataError, match="gone or damaged; start again"):
        open_data(info)


PREPARE = """
import sys
from attentune.runners.data import prepare_data
from attentune.runners.recipe import Recipe
print(prepare_data(Recipe(data=sys.argv[1], image_size=8)).folder)
"""


def test_processes_may_prepare_the_same_data_at_once(tmp_path, cache):
    path = folder(tmp_path / "pets", files(TWENTY))
    command = [sys.executable, "-c", PREPARE, str(path)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) for _ in range(3)
    ]
    folders = {process.communicate(timeout=120)[0] for process in running}
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len(folders) == 1
    assert list((cache / "data").iterdir()) == [Path(folders.pop().strip())]


def test_a_failed_preparation_leaves_nothing_behind(tmp_path, cache):
    path = folder(tmp_path / "pets", files(TWENTY))
    for file in path.rglob("*.png"):
        file.write_bytes(b"broken")
    with pytest.raises(DataError):
        prepare_data(recipe(path))
    assert list((cache / "data").iterdir()) == []


def test_a_cache_that_cannot_be_written_says_how_to_choose_another(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot write prepared data.*set ATTENTUNE_CACHE"):
        prepare_data(recipe(folder(tmp_path / "pets", files(TWENTY))))


def test_preparing_needs_no_torch(tmp_path):
    code = (
        PREPARE + "assert not {'torch', 'timm', 'sklearn'} & set(sys.modules), 'torch came along'"
    )
    path = folder(tmp_path / "pets", files(TWENTY))
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
