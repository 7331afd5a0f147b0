"""What a network looks at: asked of another process once, and drawn so that nothing is hidden."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from attentune.errors import StoreError, StudyError
from attentune.runners.inspection.attention_maps import AttentionMap, AttentionMaps, StageEnergy
from attentune.runners.results import EpochReport, Failure
from attentune.studies.database.store import Store
from attentune.studies.figures.attention_maps import channels_figure, places_figure
from attentune.studies.figures.themes import DARK, LIGHT, Theme
from attentune.studies.outputs import attention_maps as module
from attentune.studies.outputs.attention_maps import (
    CHECKPOINT,
    WEIGHTS,
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
    return store.update_config(study, {"study": {"recipe": tiny_recipe.model_dump(mode="json")}})


def leave(store: Store, study: StudyRecord, number: int, name: str = WEIGHTS) -> Path:
    """A file in a trial's folder, where its weights would be."""
    folder = store.trial_folder(study, number)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"weights")
    return folder / name


def looks(**fields: Any) -> AttentionMaps:
    """What a network of two stages made of three pictures; attention in the first stage."""
    rng = np.random.default_rng(0)
    energy = rng.random((3, 4, 4), np.float32)
    channels = np.linspace(0.5, 1.5, 41, dtype=np.float32)
    given: dict[str, Any] = {
        "architecture": TEXT,
        "epochs": None,
        "classes": ("cat", "dog"),
        "pictures": rng.integers(0, 256, (3, 8, 8, 3), np.uint8),
        "indices": np.array([7, 2, 9]),
        "labels": np.array([0, 1, 0]),
        "predicted": np.array([0, 0, 1]),
        "probabilities": np.array([0.9, 0.6, 0.75], np.float32),
        "gates": (AttentionMap("s1b2.residual", 1, "cbam", channels, 1 + energy),),
        "stages": (StageEnergy(1, energy), StageEnergy(2, 3 * energy[:, :2, :2])),
    }
    return AttentionMaps(**{**given, **fields})


def bare(**fields: Any) -> AttentionMaps:
    return looks(**{"architecture": BARE, "gates": (), **fields})


def named(figure: go.Figure, name: str) -> list[Any]:
    return [trace for trace in figure.data if trace.name == name]


# Asking


def test_asking_and_drawing_import_no_torch():
    modules = "attentune.studies.outputs.attention_maps, attentune.studies.figures.attention_maps"
    code = f"import {modules}, sys; assert not {{'torch', 'timm'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_trained_trial_is_looked_at_once_by_another_process(
    store: Store, recorded: StudyRecord, add: Add, tiny_recipe: Any, monkeypatch
):
    import torch
    from attentune.runners.events import Decision
    from attentune.runners.results import Job
    from attentune.runners.workers import trial
    from attentune.spaces.architecture import parse

    assert (WEIGHTS, CHECKPOINT) == (trial.WEIGHTS, trial.CHECKPOINT)
    number = add(TEXT, 0.5)
    job = Job(number, parse(TEXT), tiny_recipe, 0, store.trial_folder(recorded, number))
    trial.run_trial(job, lambda _: Decision.GO_ON, device=torch.device("cpu"))

    found = fetch_attention_maps(request_for_trial(store, "first", number, pictures=2))
    assert found.architecture == TEXT
    assert [gate.site for gate in found.gates] == ["s1b1.residual", "s2b1.residual"]
    assert len(found.pictures) == 2
    monkeypatch.setattr(subprocess, "run", None)  # nobody is asked again
    again = fetch_attention_maps(request_for_trial(store, recorded, number, pictures=2))
    assert again.to_json() == found.to_json()


def test_new_weights_other_pictures_and_a_damaged_answer_are_asked_for_again(
    store: Store, recorded: StudyRecord, add: Add, monkeypatch, tmp_path: Path
):
    monkeypatch.setenv("ATTENTUNE_CACHE", str(tmp_path / "cache"))
    asked: list[dict[str, Any]] = []

    def ask(wanted: AttentionMapsRequest, timeout: float) -> dict[str, Any]:
        asked.append(wanted.to_json())
        return looks().to_json()

    monkeypatch.setattr(module, "_ask", ask)
    number = add(TEXT, 0.5)
    weights = leave(store, recorded, number)
    one, other = (request_for_trial(store, recorded, number, pictures=count) for count in (2, 3))
    for wanted in (one, one, other, one):
        fetch_attention_maps(wanted)
    assert [wanted["pictures"] for wanted in asked] == [2, 3]
    os.utime(weights, ns=(1, 1))
    fetch_attention_maps(one)
    assert len(asked) == 3
    for file in (tmp_path / "cache" / "looks").iterdir():
        file.write_text("{")
    assert fetch_attention_maps(one).to_json() == looks().to_json()
    assert len(asked) == 4


def test_weights_that_have_gone_meanwhile_are_missed_in_a_sentence(tmp_path: Path):
    asked = AttentionMapsRequest("trial 1 of 'x'", TEXT, {}, tmp_path / "gone")
    with pytest.raises(StoreError, match=r"the weights of trial 1 of 'x' are gone; load the page"):
        fetch_attention_maps(asked)


@pytest.fixture
def asked(store: Store, recorded: StudyRecord, add: Add) -> AttentionMapsRequest:
    number = add(TEXT, 0.5)
    leave(store, recorded, number)
    return request_for_trial(store, recorded, number)


def test_what_the_other_process_cannot_do_is_said_in_a_sentence(
    asked: AttentionMapsRequest, monkeypatch, tmp_path: Path
):
    answers = tmp_path / "answers"
    answers.write_text('#!/bin/sh\necho \'{"error": "there is no such thing."}\' > "$4"\n')
    answers.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(answers))
    for _ in range(2):  # an error is not kept
        with pytest.raises(
            StoreError, match=r"'first' cannot be looked at: there is no such thing\."
        ):
            fetch_attention_maps(asked)


def test_a_look_that_takes_too_long_is_ended(asked: AttentionMapsRequest):
    with pytest.raises(StoreError, match=r"took more than 0\.01 s; try again"):
        fetch_attention_maps(asked, timeout=0.01)


def test_a_process_that_dies_is_reported_with_its_last_words(
    asked: AttentionMapsRequest, monkeypatch
):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StoreError, match=r"trial 0 of 'first' ended without an answer"):
        fetch_attention_maps(asked)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(StoreError, match="No such file"):
        fetch_attention_maps(asked)


def test_a_trial_without_weights_says_why_and_what_to_do(
    store: Store, recorded: StudyRecord, add: Add, epoch: Callable[..., EpochReport]
):
    complete, running, pruned, failed = (
        add(TEXT, 0.5 if seed == 0 else None, seed=seed) for seed in range(4)
    )
    store.prune_trial(recorded, pruned, "below its peers")
    store.fail_trial(recorded, failed, Failure("error", EVIL))
    for number, why in {
        complete: r"weights of trial 0 of 'first' are gone from .*; look at another trial\.",
        running: r"trial 1 of 'first' has saved nothing yet; look again after some epochs\.",
        pruned: r"trial 2 of 'first' was pruned and has left no weights; look at a complete",
        failed: r"trial 3 of 'first' failed and has left no weights; look at a complete trial\.",
    }.items():
        with pytest.raises(StoreError, match=why):
            request_for_trial(store, recorded, number)
    saved = leave(store, recorded, running, CHECKPOINT)
    assert request_for_trial(store, recorded, running).weights == saved.resolve()


def test_a_study_without_recipe_or_trial_says_so(store: Store, study: StudyRecord, add: Add):
    leave(store, study, add(TEXT, 0.5))
    with pytest.raises(StoreError, match="does not say how it trained; look at one that"):
        request_for_trial(store, study, 0)
    with pytest.raises(StudyError, match="no trial 5"):
        request_for_trial(store, study, 5)


def test_the_baseline_has_weights_and_is_as_like_the_trial_as_can_be(
    store: Store, recorded: StudyRecord, add: Add
):
    ours, sure = add(TEXT, 0.5, seed=1), add(TEXT, 0.5, seed=5, role=CONFIRM)

    def chosen(number: int) -> str | None:
        found = request_for_baseline(store, recorded, number)
        return found.who if found else None

    same, confirming, running, other = (
        add(BARE, 0.5, seed=1),
        add(BARE, 0.5, seed=6, role=CONFIRM),
        add(BARE, seed=2),
        add(BARE, 0.5, seed=3),
    )
    assert chosen(ours) is None
    leave(store, recorded, confirming)
    assert chosen(ours) is None  # judged on other data, after another number of epochs
    leave(store, recorded, running, CHECKPOINT)
    assert chosen(ours) == f"trial {running} of 'first'"
    leave(store, recorded, other)
    assert chosen(ours) == f"trial {other} of 'first'"
    leave(store, recorded, same)
    assert chosen(ours) == f"trial {same} of 'first'"
    assert chosen(sure) == f"trial {confirming} of 'first'"


# Drawing

themes = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)


@themes
def test_without_anything_to_draw_a_sentence_is_drawn(theme: Theme):
    shut = AttentionMap(
        "s1b1.post", 1, "shuffle", np.array([], np.float32), np.ones((3, 4, 4), np.float32)
    )
    dead = AttentionMap("s1b1.post", 1, "se", np.full(4, np.nan, np.float32), shut.places)
    for figure in (
        channels_figure(bare(), theme),
        channels_figure(looks(gates=(shut, dead)), theme),
        places_figure(bare(stages=()), None, theme),
        places_figure(bare(stages=()), bare(stages=()), theme),
    ):
        assert not figure.data
        assert figure.layout.annotations[0].text


@themes
def test_channel_weights_are_drawn_sorted_with_quartiles_and_a_line_at_one(theme: Theme):
    figure = channels_figure(looks(), theme)
    [bar], [ticks], [median] = (named(figure, n) for n in ("middle half", "channels", "median"))
    assert list(bar.base) == pytest.approx([0.75])
    assert list(bar.x) == pytest.approx([0.5])
    assert list(median.x) == pytest.approx([1.0])
    assert list(ticks.x) == pytest.approx(np.linspace(0.5, 1.5, 41))
    assert ticks.text[0] == "s1b2.residual, channel 0: 0.5"
    [line] = figure.layout.shapes
    assert line.x0 == line.x1 == 1
    assert bar.marker.color[0] == theme.attention("cbam")
    assert list(figure.layout.yaxis.ticktext) == ["s1b2.residual cbam"]


def test_many_and_far_channels_keep_the_figure_small_and_honest():
    far = np.append(np.ones(5000, np.float32), np.float32([1000, np.nan]))
    gate = dataclasses.replace(looks().gates[0], channels=far)
    figure = channels_figure(looks(gates=(gate,) * 30))
    [ticks] = named(figure, "channels")
    assert len(ticks.x) <= 4000
    assert max(ticks.x) <= figure.layout.xaxis.range[1] < 2
    assert "s1b2.residual, channel 5000: 1e+03" in ticks.text


@themes
def test_maps_lie_beside_the_picture_and_the_baselines_maps(theme: Theme):
    ours, theirs = looks(), bare()
    figure = places_figure(ours, theirs, theme)
    assert sum(isinstance(trace, go.Image) for trace in figure.data) == 3
    names = ["s1b2 cbam", "s1 baseline", "s2 energy", "s2 baseline"]
    for column, name in enumerate(names, 1):
        maps = named(figure, name)
        assert len(maps) == 3
        for row, drawn in enumerate(maps):
            shape = np.shape(drawn.z)
            left, top = drawn.x0 - drawn.dx / 2, drawn.y0 - drawn.dy / 2
            assert (shape[1] * drawn.dx, shape[0] * drawn.dy) == pytest.approx((1, 1))
            assert (left, top) == pytest.approx((column * 1.08, row * 1.08))
    np.testing.assert_array_equal(named(figure, names[0])[1].z, ours.gates[0].places[1])
    np.testing.assert_array_equal(named(figure, names[3])[2].z, theirs.stages[1].places[2])
    titles = [note.text for note in figure.layout.annotations]
    assert "<b>cat</b><br>ours: dog, 75 %<br>baseline: dog, 75 %" in titles
    assert any(title.startswith("<b>s1b2</b><br>cbam<br>") for title in titles)
    scale = named(figure, "s2 energy")[0].colorscale
    assert [colour for _, colour in scale] == [theme.empty, theme.palette[0], theme.text]


def test_the_baselines_maps_are_of_the_same_pictures_whatever_its_order():
    ours = looks()
    turned = {"indices": ours.indices[[2, 0]], "pictures": ours.pictures[[2, 0]]}
    for name in ("labels", "predicted", "probabilities"):
        turned[name] = getattr(ours, name)[[2, 0]]
    stages = (StageEnergy(1, ours.stages[0].places[[2, 0]]),)
    figure = places_figure(ours, bare(**turned, stages=stages))
    first, last = named(figure, "s1 baseline")
    assert {round(first.y0), round(last.y0)} == {0, 2}
    for drawn in (first, last):
        row = round(drawn.y0 / 1.08 - 0.1)
        np.testing.assert_array_equal(drawn.z, ours.stages[0].places[row])


def test_at_most_six_pictures_are_drawn_in_their_own_aspect():
    wide = np.zeros((8, 4, 12, 3), np.uint8)
    many = {"indices": np.arange(8), "labels": np.zeros(8, int), "predicted": np.zeros(8, int)}
    stages = (StageEnergy(1, np.full((8, 1, 3), 0.5, np.float32)),)
    shown = bare(**many, pictures=wide, probabilities=np.ones(8, np.float32), stages=stages)
    figure = places_figure(shown)
    assert len(figure.data) == 6 * 2
    drawn = named(figure, "s1 energy")[0]
    assert (3 * drawn.dx, drawn.dy) == pytest.approx((3, 1))
    assert drawn.zmin < drawn.zmax


def test_places_where_nothing_came_in_stay_empty():
    places = np.full((3, 2, 2), np.nan, np.float32)
    gate = dataclasses.replace(looks().gates[0], places=places)
    [drawn, *_] = named(places_figure(looks(gates=(gate,))), "s1b2 cbam")
    assert drawn.zmin < drawn.zmax


def test_texts_from_outside_are_shown_as_they_are():
    names = {"classes": (EVIL, EVIL + " and a very long name")}
    gate = dataclasses.replace(looks().gates[0], attention=EVIL, site=EVIL)
    shown = looks(**names, gates=(gate,))
    for figure in (channels_figure(shown), places_figure(shown, bare(**names))):
        told = figure.to_json().replace("\\u003c", "<").replace("\\u003e", ">")
        assert "<img" not in told
        assert "&lt;img" in told
