"""What the predictions of a study's trials say about its images and its claims."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from attentune.benchmarks.claims import SPACE, TEXTBOOK
from attentune.runners.predictions import Predictions, write_predictions
from attentune.runners.recipe import Recipe
from attentune.runners.results import (
    EVALUATION_IMAGES,
    PREDICTIONS_FILE,
    UNMOVED_ATTENTIONS,
    TrialResult,
)
from attentune.spaces.architecture import parse
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.confirmation import Confirmation
from attentune.studies.config import RunPlan
from attentune.studies.dashboard.study_state import StudyState
from attentune.studies.database.predictions import identity_of
from attentune.studies.database.store import Store
from attentune.studies.outputs.judged_images import (
    read_confirmation,
    read_study_warnings,
    read_validation_images,
)
from attentune.studies.outputs.read_findings import read_findings
from attentune.studies.outputs.report import render
from attentune.studies.outputs.study_json import study_json
from attentune.studies.records import BASELINE, CONFIRM, FIRST_CONFIRMING_NUMBER, SEARCH
from attentune.studies.stored_config import ConfirmPlan
from attentune.studies.text.confirmation import conclusion, confirmation_warnings

BARE = TEXTBOOK[0]
IMAGES, CLASSES = 400, 4
Add = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "x.db", create=True) as opened:
        yield opened


@pytest.fixture
def add(store: Store, result: Callable[..., TrialResult]) -> Add:
    """Adds a complete trial to the study `s`, with the images that it judges correctly."""
    recipe = Recipe.of(data="digits", image_size=16, epochs=8).model_dump(mode="json")
    plan = ConfirmPlan((BARE, SPACE[0]), 1, 5, 8, 8, first_seed=10**6)
    config = {
        "study": {"recipe": recipe, "num_classes": CLASSES},
        "plan": RunPlan(trials=2).model_dump(mode="json"),
        "confirm": asdict(plan),
    }
    record = store.studies.create(
        "s", backbone=BARE, objectives=("accuracy",), config=config, seed=0
    )
    numbers = {SEARCH: 0, CONFIRM: FIRST_CONFIRMING_NUMBER}

    def add_trial(
        text: str,
        seed: int,
        correct: np.ndarray,
        role: str = CONFIRM,
        *,
        keep: bool = True,
        **facts: str,
    ) -> None:
        counter = CONFIRM if role == CONFIRM else SEARCH
        number, numbers[counter] = numbers[counter], numbers[counter] + 1
        labels = np.arange(len(correct)) % CLASSES
        predictions = Predictions(
            labels, np.where(correct, labels, (labels + 1) % CLASSES), CLASSES
        )
        store.trials.start(record, number, parse(text), seed=seed, role=role)
        finished = result(predictions.accuracy)
        environment = {**finished.environment, **facts}
        store.trials.finish(record, number, replace(finished, environment=environment))
        if keep:
            owner = {"identity": identity_of(record, store.trials.get(record, number))}
            path = store.trial_file(record, number, PREDICTIONS_FILE)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_predictions(path, predictions, {**owner, "data_key": "images"})

    return add_trial


def judged(accuracy: float, images: int = IMAGES) -> np.ndarray:
    """The first images are judged correctly."""
    return np.arange(images) < accuracy * images


def confirm(store: Store, add: Add, gain: float, *, keep: bool = True) -> Confirmation:
    """A confirmation in which an architecture judges further images correctly with every seed."""
    add(BARE, 0, judged(0.5), BASELINE)
    add(SPACE[0], 0, judged(0.6), SEARCH)
    rng = np.random.default_rng(0)
    for seed in range(10**6, 10**6 + 5):
        for text, accuracy in ((BARE, 0.5), (SPACE[0], 0.5 + gain)):
            correct = judged(accuracy) ^ (rng.random(IMAGES) < 0.002)
            add(text, seed, correct, keep=keep)
    record = store.studies.get("s")
    confirmation = read_confirmation(store, record, analyse(record, store.trials.read(record)))
    assert confirmation is not None
    return confirmation


def test_what_all_seeds_agree_on_is_no_claim_if_it_rests_on_a_few_images(
    store: Store, add: Add
) -> None:
    """Seeds alone would claim it: their scatter is a tenth of the difference."""
    confirmation = confirm(store, add, 0.01)
    gain = confirmation.contenders[0].gain
    assert gain is not None
    assert gain.image_error is not None
    assert gain.image_error > 0.8 * gain.standard_error
    assert not gain.claimed
    assert confirmation.images.predictions_kept
    assert "(5 seeds and 400 test images, " in conclusion(confirmation)
    assert "There are too few images for a claim" in confirmation_warnings(confirmation)[0]


def test_a_difference_on_many_images_is_claimed(store: Store, add: Add) -> None:
    confirmation = confirm(store, add, 0.06)
    assert [c.architecture for c in confirmation.better] == [parse(SPACE[0])]
    assert confirmation_warnings(confirmation) == ()


def test_without_predictions_the_sampling_error_is_that_of_independent_networks(
    store: Store, add: Add
) -> None:
    confirmation = confirm(store, add, 0.06, keep=False)
    gain = confirmation.contenders[0].gain
    assert gain is not None
    assert gain.image_error == pytest.approx((0.4975 / IMAGES) ** 0.5, rel=0.02)
    assert not confirmation.better
    [warning] = confirmation_warnings(confirmation)
    assert "The predictions of these trials were not kept" in warning


def test_validation_images_are_counted_from_predictions_or_else_from_accuracies(
    store: Store, add: Add
) -> None:
    def images():
        record = store.studies.get("s")
        return read_validation_images(store, record, analyse(record, store.trials.read(record)))

    add(SPACE[0], 0, judged(0.6, 29), SEARCH, keep=False)
    assert (images().count, images().predictions_kept, images().majority_share) == (29, False, 0.25)
    add(BARE, 0, judged(0.5, 29), BASELINE)
    assert (images().count, images().predictions_kept) == (29, True)
    assert images().majority_share == pytest.approx(8 / 29)


@pytest.mark.parametrize(
    ("recorded", "share", "counts"),
    [
        ("29, 9 of one class", 9 / 29, None),
        ("29, 9 of one class, by class 9 8 7 5", 9 / 29, (9, 8, 7, 5)),
        ("29, 9 of one class, by class 9 8", 9 / 29, None),
        ("29, 30 of one class", 0.25, None),
    ],
)
def test_what_the_database_holds_of_the_images_needs_no_predictions(
    store: Store, add: Add, recorded: str, share: float, counts: tuple[int, ...] | None
) -> None:
    """So a copy of the database alone says the same."""
    add(BARE, 0, judged(0.5, 29), BASELINE, keep=False, **{EVALUATION_IMAGES: recorded})
    record = store.studies.get("s")
    findings = analyse(record, store.trials.read(record))
    images = read_validation_images(store, record, findings)
    assert (images.count, images.majority_share, images.class_counts) == (29, share, counts)


def test_every_surface_says_what_makes_the_numbers_unreliable(store: Store, add: Add) -> None:
    add(BARE, 0, judged(0.2, 29), BASELINE)
    add(SPACE[0], 0, judged(0.25, 29), SEARCH, **{UNMOVED_ATTENTIONS: "8 of 8"})
    record = store.studies.get("s")
    warnings = read_study_warnings(store, record, read_findings(store, record))
    chance, few_images, unmoved = warnings
    assert "No accuracy is above chance" in chance
    assert "29 validation images" in few_images
    assert "`se(r=4)@s1.residual` (8 of 8)" in unmoved
    shown = study_json(store, record)
    assert shown["warnings"] == list(warnings)
    assert shown["recommendation"] is None
    report = render(store, record).replace("<code>", "`").replace("</code>", "`")
    nothing = "Nothing can be recommended, because no accuracy is above chance."
    for sentence in (chance, few_images, nothing):
        assert sentence in report
    state = StudyState(store, record)
    assert state.warnings() == warnings
    assert state.summary() == (nothing, None)
