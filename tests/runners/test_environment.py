"""What a trial records about the machine and the software that it ran on."""

from __future__ import annotations

import attentune
import pytest
import torch
from attentune.runners import environment as module
from attentune.runners.environment import describe_environment, git_commit
from attentune.spaces.attentions.plugins import register as registration
from torch import nn

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Nothing is kept from other tests, nor for them."""
    monkeypatch.setattr(registration, "_registered", {})
    registration._resolve.cache_clear()
    module._describe_environment.cache_clear()
    git_commit.cache_clear()
    yield
    registration._resolve.cache_clear()
    module._describe_environment.cache_clear()
    git_commit.cache_clear()


def test_the_facts_are_texts_and_name_device_precision_and_versions():
    facts = describe_environment(CPU, "float32")
    assert list(facts)[:2] == ["device", "precision"]
    assert facts["device"].startswith("cpu (")
    assert facts["precision"] == "float32"
    assert facts["torch"] == torch.__version__
    assert facts["attentune"] == attentune.__version__
    assert facts["threads"] == str(torch.get_num_threads())
    assert all(isinstance(value, str) and value for value in facts.values())


def test_only_a_users_own_attention_is_recorded_with_its_origin():
    class Wave(nn.Module):
        def __init__(self, channels: int) -> None:
            del channels
            super().__init__()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    attentune.register_attention("wave")(Wave)
    facts = describe_environment(CPU, "float32", ["se", "wave"])
    assert "attention se" not in facts
    assert facts["attention wave"].endswith("Wave")


def test_the_commit_is_left_out_where_attentune_runs_from_no_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "__file__", str(tmp_path / "attentune" / "runners" / "x.py"))
    assert git_commit() is None
    assert "attentune commit" not in describe_environment(CPU, "float32")
