"""Checkpoint files: whole, torn, or of another format."""

from __future__ import annotations

import shutil

import pytest
import torch
from attentune.errors import DamagedFileError
from attentune.runners.training.checkpoint import load, read_facts, save
from damaged_files import CHECKPOINT_FORGERIES, DAMAGES


def test_a_checkpoint_that_is_torn_or_of_another_version_is_refused(
    tiny_recipe, tmp_path, run_training
):
    run_training(tiny_recipe, stop_after=1, folder=tmp_path)
    assert read_facts(tmp_path / "1")["epoch"] == 1
    assert read_facts(tmp_path / "absent") is None
    for damage in (DAMAGES["cut in the tensors"], CHECKPOINT_FORGERIES["another format"]):
        shutil.copyfile(tmp_path / "1", tmp_path / "damaged")
        damage(tmp_path / "damaged")
        with pytest.raises(DamagedFileError):
            read_facts(tmp_path / "damaged")


def test_tensors_that_do_not_fit_are_refused_and_nothing_is_copied(tmp_path):
    save(tmp_path / "saved", {}, [torch.ones(2), torch.tensor([1.0, float("nan")])])
    kept = [torch.zeros(2), torch.zeros(2)]
    for tensors in (kept, kept[:1], [*kept, torch.zeros(1)], [torch.zeros(4, dtype=torch.int64)]):
        with pytest.raises(DamagedFileError):
            load(tmp_path / "saved", tensors)
        assert not any(tensor.any() for tensor in tensors)
    not_finite = [torch.zeros(2), torch.tensor([1.0, float("inf")])]  # such as a mask
    load(tmp_path / "saved", not_finite)
    assert not_finite[0].tolist() == [1, 1]


def test_tensors_of_any_type_and_layout_are_put_back(tmp_path):
    tensors = [
        torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        torch.arange(3),
        torch.randn(7),
        torch.tensor(5),
    ]
    save(tmp_path / "saved", {"note": "kept"}, tensors)
    copies = [torch.zeros_like(tensor) for tensor in tensors]
    load(tmp_path / "saved", copies)
    assert all(map(torch.equal, copies, tensors))
    assert read_facts(tmp_path / "saved")["note"] == "kept"
