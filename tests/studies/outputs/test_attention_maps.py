"""Attention maps are computed in another process, once, and every failure is one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attentune.errors import StoreError, StudyError
from attentune.runners.inspection.attention_maps import AttentionMaps
from attentune.runners.results import CHECKPOINT_FILE, WEIGHTS_FILE, EpochReport, Failure
from attentune.studies.database.store import Store
from attentune.studies.outputs import attention_maps as module
from attentune.studies.outputs.attention_maps import (
    AttentionMapsRequest,
    fetch_attention_maps,
    request_for_baseline,
    request_for_trial,
)
from attentune.studies.records import CONFIRM, StudyRecord

EVIL = "<img src=x onerror=alert(1)>"
BARE = "test_resnet"
TEXT = "test_resnet+cbam(r=4,start=identity)@s1-s2.residual"
Add = Callable[..., int]


@pytest.fixture
def target(tmp_path: Path) -> str:
    return str(tmp_path / "x.db")


@pytest.fixture
def recorded(store: Store, study: StudyRecord, tiny_recipe: Any) -> StudyRecord:
    """The study, with the recipe in its config as a search stores it."""
    config = {"study": {"recipe": tiny_recipe.model_dump(mode="json")}}
    return store.studies.change_config(study, lambda _: config)


def leave(store: Store, study: StudyRecord, number: int, name: str = WEIGHTS_FILE) -> Path:
    """A file in a trial's folder, where its weights would be."""
    folder = store.trial_folder(study, number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"weights")
    return folder / name


def example_maps() -> AttentionMaps:
    """The smallest attention maps that there can be: one image, no attention, no stage."""
    return AttentionMaps(
        architecture=TEXT,
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


def test_requesting_and_drawing_import_no_torch():
    modules = "attentune.studies.outputs.attention_maps, attentune.studies.figures.attention_maps"
    code = f"import {modules}, sys; assert not {{'torch', 'timm'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_maps_of_a_trained_trial_are_computed_once_in_another_process(
    store: Store, recorded: StudyRecord, add: Add, tiny_recipe: Any, monkeypatch
):
    import torch
    from attentune.runners.events import Decision
    from attentune.runners.results import Job
    from attentune.runners.workers import trial
    from attentune.spaces.architecture import parse

    number = add(TEXT, 0.5)
    job = Job(number, parse(TEXT), tiny_recipe, 0, store.trial_folder(recorded, number))
    trial.run_trial(job, lambda _: Decision.GO_ON, device=torch.device("cpu"))

    maps = fetch_attention_maps(request_for_trial(store, "first", number, num_images=2))
    assert maps.architecture == TEXT
    assert [gate.site for gate in maps.attentions] == ["s1b1.residual", "s2b1.residual"]
    assert len(maps.images) == 2
    monkeypatch.setattr(subprocess, "run", None)  # no process is started again
    again = fetch_attention_maps(request_for_trial(store, recorded, number, num_images=2))
    assert again.to_json() == maps.to_json()


def test_new_weights_other_images_and_a_damaged_result_are_computed_again(
    store: Store, recorded: StudyRecord, add: Add, monkeypatch, tmp_path: Path
):
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path / "cache"))
    requests: list[dict[str, Any]] = []

    def run_command(requested: AttentionMapsRequest, timeout: float) -> dict[str, Any]:
        requests.append(requested.to_json())
        return example_maps().to_json()

    monkeypatch.setattr(module, "_run_command", run_command)
    number = add(TEXT, 0.5)
    weights = leave(store, recorded, number)
    two_images, three_images = (
        request_for_trial(store, recorded, number, num_images=count) for count in (2, 3)
    )
    for requested in (two_images, two_images, three_images, two_images):
        fetch_attention_maps(requested)
    assert [requested["num_images"] for requested in requests] == [2, 3]
    os.utime(weights, ns=(1, 1))
    fetch_attention_maps(two_images)
    assert len(requests) == 3
    for file in (tmp_path / "cache" / "attention-maps").iterdir():
        file.write_text("{")
    assert fetch_attention_maps(two_images).to_json() == example_maps().to_json()
    assert len(requests) == 4


def test_weights_that_were_deleted_meanwhile_are_reported_in_a_sentence(tmp_path: Path):
    outdated = AttentionMapsRequest("trial 1 of 'x'", TEXT, {}, tmp_path / "gone")
    with pytest.raises(
        StoreError, match=r"the weights of trial 1 of 'x' have been deleted; load the page"
    ):
        fetch_attention_maps(outdated)


@pytest.fixture
def waiting_request(store: Store, recorded: StudyRecord, add: Add) -> AttentionMapsRequest:
    number = add(TEXT, 0.5)
    leave(store, recorded, number)
    return request_for_trial(store, recorded, number)


def test_an_error_of_the_other_process_is_reported_in_a_sentence(
    waiting_request: AttentionMapsRequest, monkeypatch, tmp_path: Path
):
    answers = tmp_path / "answers"
    answers.write_text('#!/bin/sh\necho \'{"error": "there is no such thing."}\' > "$4"\n')
    answers.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(answers))
    for _ in range(2):  # an error is not kept
        with pytest.raises(
            StoreError, match=r"'first' has no attention maps: there is no such thing\."
        ):
            fetch_attention_maps(waiting_request)


def test_a_request_that_takes_too_long_is_ended(waiting_request: AttentionMapsRequest):
    with pytest.raises(StoreError, match=r"took more than 0\.01 s; try again"):
        fetch_attention_maps(waiting_request, timeout=0.01)


def test_a_process_that_dies_is_reported_with_its_last_line(
    waiting_request: AttentionMapsRequest, monkeypatch
):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StoreError, match=r"trial 0 of 'first' ended without a result"):
        fetch_attention_maps(waiting_request)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(StoreError, match="No such file"):
        fetch_attention_maps(waiting_request)


def test_a_trial_without_weights_says_why_and_what_to_do(
    store: Store, recorded: StudyRecord, add: Add, epoch: Callable[..., EpochReport]
):
    complete, running, pruned, failed = (
        add(TEXT, 0.5 if seed == 0 else None, seed=seed) for seed in range(4)
    )
    store.trials.prune(recorded, pruned, "below its peers")
    store.trials.fail(recorded, failed, Failure("error", EVIL))
    for number, why in {
        complete: r"weights of trial 0 of 'first' are missing in .*; no trial of the study has",
        running: r"trial 1 of 'first' has saved no weights yet; try again after some epochs\.",
        pruned: r"trial 2 of 'first' was pruned and has left no weights; choose a complete",
        failed: r"trial 3 of 'first' failed and has left no weights; choose a complete trial\.",
    }.items():
        with pytest.raises(StoreError, match=why):
            request_for_trial(store, recorded, number)
    saved = leave(store, recorded, running, CHECKPOINT_FILE)
    assert request_for_trial(store, recorded, running).weights == saved.resolve()


def test_a_study_without_recipe_or_trial_says_so(store: Store, study: StudyRecord, add: Add):
    leave(store, study, add(TEXT, 0.5))
    with pytest.raises(StoreError, match="does not record its recipe; choose one that"):
        request_for_trial(store, study, 0)
    with pytest.raises(StudyError, match="no trial 5"):
        request_for_trial(store, study, 5)


def test_the_baseline_has_weights_and_matches_role_and_seed_if_possible(
    store: Store, recorded: StudyRecord, add: Add
):
    trial, confirmed = add(TEXT, 0.5, seed=1), add(TEXT, 0.5, seed=5, role=CONFIRM)

    def chosen(number: int) -> str | None:
        request = request_for_baseline(store, recorded, number)
        return request.label if request else None

    same_seed, confirming, running, other_seed = (
        add(BARE, 0.5, seed=1),
        add(BARE, 0.5, seed=6, role=CONFIRM),
        add(BARE, seed=2),
        add(BARE, 0.5, seed=3),
    )
    assert chosen(trial) is None
    leave(store, recorded, confirming)
    assert chosen(trial) is None  # judged on other data, after another number of epochs
    leave(store, recorded, running, CHECKPOINT_FILE)
    assert chosen(trial) == f"trial {running} of 'first'"
    leave(store, recorded, other_seed)
    assert chosen(trial) == f"trial {other_seed} of 'first'"
    leave(store, recorded, same_seed)
    assert chosen(trial) == f"trial {same_seed} of 'first'"
    assert chosen(confirmed) == f"trial {confirming} of 'first'"
