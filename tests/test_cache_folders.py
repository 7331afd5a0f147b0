"""The cache: one root, and one folder for each module that keeps files there."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import get_args

import attentune
import numpy as np
import pytest
from attentune.cache_folders import (
    CacheContent,
    cache_folder,
    cache_root,
    read_cached_json,
    write_cached_json,
)
from attentune.runners.data import inspect_data
from attentune.runners.inspection.attention_maps import AttentionMaps
from attentune.studies.outputs import attention_maps
from attentune.studies.outputs.attention_maps import AttentionMapsRequest, fetch_attention_maps
from PIL import Image

ROOT = Path(attentune.__file__).resolve().parent


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture
def request_maps(tmp_path, monkeypatch):
    """Asks for the attention maps of new weights, without a process that computes them."""
    maps = AttentionMaps(
        architecture="test_resnet",
        epochs=None,
        classes=("cat", "dog"),
        images=np.zeros((1, 8, 8, 3), np.uint8),
        indices=np.array([7]),
        labels=np.array([0]),
        predicted=np.array([1]),
        probabilities=np.array([0.75], np.float32),
        attentions=(),
        stages=(),
    )
    monkeypatch.setattr(attention_maps, "_run_command", lambda _, __: maps.to_json())

    def request(number: int) -> None:
        weights = tmp_path / f"{number}.safetensors"
        weights.write_bytes(b"weights")
        fetch_attention_maps(AttentionMapsRequest("trial", "test_resnet", {}, weights))

    return request


def test_attention_maps_and_inspected_sources_leave_each_other_alone(
    cache, request_maps, tmp_path, monkeypatch
):
    monkeypatch.setattr(attention_maps, "MAX_CACHED_RESULTS", 2)
    for name in ("cats", "dogs"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "photos" / name / "1.png")
    info = inspect_data(str(tmp_path / "photos"))
    inspected = contents(cache)
    assert len(inspected) == 1

    for number in range(5):
        request_maps(number)
    after = contents(cache)
    assert inspected.items() <= after.items()
    assert len(after) == len(inspected) + 2  # the oldest attention maps were deleted

    assert inspect_data(str(tmp_path / "photos")) == info
    assert contents(cache) == after


def test_files_of_an_older_version_do_no_harm(cache, request_maps, tmp_path):
    old = cache / "looks"
    old.mkdir(parents=True)
    for number in range(3):
        (old / f"{number}.json").write_text(json.dumps({"format": 1}))
    before = contents(cache)
    for number in range(3):
        request_maps(number)
    assert before.items() <= contents(cache).items()


def test_every_folder_belongs_to_one_module():
    owners: dict[str, list[str]] = {}
    for folder in ("spaces", "runners", "studies", "search"):
        for file in (ROOT / folder).rglob("*.py"):
            for content in re.findall(r'cache_folder\("([^"]+)"\)', file.read_text("utf-8")):
                owners.setdefault(content, []).append(str(file.relative_to(ROOT)))
    assert sorted(owners) == sorted(get_args(CacheContent))
    for content, modules in owners.items():
        assert len(set(modules)) == 1, f"{content} is used by {modules}"
        owner = modules[0].removesuffix(".py").replace("/", ".")
        table = (ROOT / "cache_folders.py").read_text("utf-8")
        assert re.search(rf"^    {content}/ .* {re.escape(owner)}$", table, re.MULTILINE)


def test_only_one_module_knows_where_the_cache_is():
    for folder in ("spaces", "runners", "studies", "search"):
        for file in (ROOT / folder).rglob("*.py"):
            assert "platformdirs" not in file.read_text("utf-8"), file


def test_the_environment_moves_the_cache(cache, monkeypatch):
    assert cache_root() == cache
    assert cache_folder("data") == cache / "data"
    monkeypatch.delenv("ATTENTUNE_CACHE")
    assert cache_root().is_absolute()
    assert "attentune" in str(cache_root())


DAMAGED_JSON = {
    "absent": None,
    "empty": "",
    "cut": '{"sha256": "',
    "another value": '{"sha256": "%s", "content": {"size": 9}}',
    "no checksum": '{"content": {"size": 8}}',
    "a list": "[]",
    "nested deeply": "[" * 100_000,
    "a number of 10,000 digits": "9" * 10_000,
}


@pytest.mark.parametrize("text", DAMAGED_JSON.values(), ids=DAMAGED_JSON)
def test_a_damaged_json_file_of_the_cache_is_not_believed(text, tmp_path):
    file = tmp_path / "folder" / "facts.json"
    write_cached_json(file, {"size": 8})
    assert read_cached_json(file) == {"size": 8}
    digest = json.loads(file.read_text())["sha256"]
    file.unlink()
    if text is not None:
        file.write_text(text.replace("%s", digest))
    assert read_cached_json(file) is None


def test_what_killed_processes_left_in_the_cache_is_deleted_a_day_later(tmp_path):
    drafts = [tmp_path / f".facts.json.7.0123456{number}" for number in range(2)]
    for draft in (*drafts, tmp_path / "other.json"):
        draft.write_text("x", "utf-8")
        os.utime(draft, (1, 1))
    os.utime(drafts[1])
    write_cached_json(tmp_path / "facts.json", {})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"facts.json", "other.json", drafts[1].name}
