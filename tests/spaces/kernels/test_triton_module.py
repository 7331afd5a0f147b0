"""Triton kernels are tried out before they are used, and trials record why they were not used."""

from __future__ import annotations

import sys
import types

import torch
from attentune.runners.events import Decision, Finished
from attentune.runners.recipe import Recipe
from attentune.runners.results import Job
from attentune.runners.workers.trial import run_trial
from attentune.spaces.architecture import parse
from attentune.spaces.kernels.triton_module import (
    BATCH_NORM,
    POOL_SCALE,
    TRITON_KERNELS,
    TritonKernels,
    fallback_reasons,
)


def test_a_machine_without_triton_says_so_and_goes_on(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setitem(sys.modules, "triton", None)  # cannot be imported
    monkeypatch.delitem(sys.modules, POOL_SCALE.module_name, raising=False)
    kernels = TritonKernels("attention", POOL_SCALE.module_name)
    assert kernels.why_unusable(torch.device("cuda", 0)).startswith("no Triton: ")


def test_kernels_that_compute_something_else_are_not_used(monkeypatch):
    def check(device: torch.device) -> None:
        raise AssertionError(f"not what torch computes on {device}")

    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    kernels = TritonKernels("attention", "kernels")
    kernels.module = types.SimpleNamespace(check=check)
    device = torch.device("cuda", 0)
    assert kernels.why_unusable(device) == "AssertionError: not what torch computes on cuda:0"
    assert kernels.reasons == {device: kernels.why_unusable(device)}


def test_kernels_are_not_tried_out_while_a_graph_is_captured(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    kernels = TritonKernels("attention", POOL_SCALE.module_name)
    assert "graph is being captured" in kernels.why_unusable(torch.device("cuda", 0))
    assert not kernels.reasons


def test_reasons_are_reported_under_the_names_of_the_kernels(monkeypatch):
    device = torch.device("cuda", 7)
    assert fallback_reasons(device) == {}
    for kernels, reason in zip(
        TRITON_KERNELS, ("no Triton: none", None, "an old driver"), strict=True
    ):
        monkeypatch.setitem(kernels.reasons, device, reason)
    assert fallback_reasons(device) == {
        "attention": "no Triton: none",
        "batch norm": "an old driver",
    }


def test_a_trial_records_why_kernels_were_not_used(cache, tmp_path, monkeypatch):
    del cache
    cpu = torch.device("cpu")
    monkeypatch.setitem(BATCH_NORM.reasons, cpu, "no Triton: it is not installed")
    settings = {"data": "digits", "image_size": 16, "train_limit": 128, "epochs": 1}
    recipe = Recipe.of(**settings, batch_size=32, stem="native")
    events = []
    run_trial(
        Job(0, parse("test_resnet"), recipe, 0, tmp_path),
        lambda event: (events.append(event), Decision.GO_ON)[1],
        device=cpu,
    )
    result = next(event.result for event in events if isinstance(event, Finished))
    assert result.environment["batch norm kernels"] == "torch's: no Triton: it is not installed"
    assert "attention kernels" not in result.environment
