"""Checkpoint files: whole, torn, or of another format."""

from __future__ import annotations

import torch
from attentune.runners.training.checkpoint import load, read_facts, save


def test_a_checkpoint_that_is_torn_or_of_another_version_is_none(
    tiny_recipe, tmp_path, run_training
):
    run_training(tiny_recipe, stop_after=1, folder=tmp_path)
    whole = (tmp_path / "1").read_bytes()
    (tmp_path / "torn").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "other").write_bytes(whole.replace(b'\\"format\\": 2', b'\\"format\\": 9'))
    assert read_facts(tmp_path / "1")["epoch"] == 1
    for name in ("torn", "other", "absent"):
        assert read_facts(tmp_path / name) is None


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
