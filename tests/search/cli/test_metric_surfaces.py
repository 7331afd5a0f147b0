"""A study that searches for another metric than the accuracy, on every surface."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict

import numpy as np
import pytest
from attentune.runners.metrics import METRICS
from attentune.search.cli.summary import print_confirmation, print_studies, print_summary
from attentune.studies.dashboard.address import Address
from attentune.studies.dashboard.app import FIGURES, TEXTS
from attentune.studies.dashboard.context import PageContext
from attentune.studies.dashboard.pages import attention_maps
from attentune.studies.dashboard.pages import predictions as predictions_page
from attentune.studies.dashboard.pages.trial_card import trial_card
from attentune.studies.dashboard.study_state import StudyState
from attentune.studies.database.store import Store
from attentune.studies.figures.themes import LIGHT
from attentune.studies.outputs.judged_images import read_confirmation
from attentune.studies.outputs.read_findings import read_findings
from attentune.studies.outputs.report import render
from attentune.studies.outputs.study_json import listed_study_json, study_json
from attentune.studies.outputs.study_list import list_studies
from attentune.studies.records import CONFIRM
from attentune.studies.stored_config import ConfirmPlan
from attentune.studies.text.confirmation import conclusion, confirmation_warnings
from attentune.studies.text.metric_format import MetricFormat
from predicted_study import BARE, SE, add_trial, create_study, fill_study, predictions
from rich.console import Console

KEYS = tuple(key for key in METRICS if key != "accuracy")
SEEDS = 4
FIGURE_NAMES = ("pareto", "three-objectives", "learning-curves", "expected-gain", "confirmation")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A finished search and a confirmation for every metric, named by its key."""
    with Store.open(tmp_path_factory.mktemp("metrics") / "x.db", create=True) as opened:
        for key in KEYS:
            study = create_study(opened, key, key)
            fill_study(opened, study)
            plan = asdict(ConfirmPlan((BARE, SE), 1, SEEDS, 3, 3, first_seed=10**6))
            study = opened.studies.change_config(study, lambda c, p=plan: {**c, "confirm": p})
            for index, (text, accuracy) in enumerate(((BARE, 0.5), (SE, 0.75))):
                for seed in range(SEEDS):
                    number = 1_000_000 + SEEDS * index + seed
                    judged = predictions(accuracy, 10**6 + seed, test=True)
                    add_trial(opened, study, number, text, 10**6 + seed, judged, role=CONFIRM)
        yield opened


@pytest.mark.parametrize("key", KEYS)
def test_programs_read_values_of_the_metric_and_gains_that_are_better_if_positive(
    store: Store, key: str
) -> None:
    study, metric = store.studies.get(key), METRICS[key]
    shown = study_json(store, study)
    assert shown["metric"] == key
    assert list(shown["directions"]) == [key, "params"]
    recorded = store.metrics.read(study)
    for entry in shown["architectures"]:
        numbers = [t["number"] for t in shown["trials"] if t["key"] == entry["key"]]
        searched = [n for n in numbers if n < 1_000_000]
        assert entry["measured"] == [recorded[number][key] for number in searched]
        assert entry["accuracy"] != entry["value"]
    by_text = {entry["architecture"]: entry for entry in shown["architectures"]}
    difference = metric.score_of(by_text[SE]["value"]) - metric.score_of(by_text[BARE]["value"])
    assert by_text[SE]["gain"] == pytest.approx(difference)
    assert by_text[SE]["gain"] > 0
    values = [metric.score_of(entry["value"]) for entry in shown["architectures"]]
    assert shown["best"] == shown["architectures"][int(np.argmax(values))]["number"]
    contenders = shown["confirmation"]["contenders"]
    assert contenders[0]["architecture"] == SE
    assert contenders[0]["gain"]["claimed"]


@pytest.mark.parametrize("key", KEYS)
def test_people_read_the_metric_in_its_unit_everywhere(
    store: Store, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    study = store.studies.get(key)
    findings = read_findings(store, study)
    form = MetricFormat(findings.metric)
    print_summary(store, study)
    confirmation = read_confirmation(store, study, findings)
    assert confirmation is not None
    console = Console(width=200)
    print_confirmation(confirmation, (), console)
    terminal = capsys.readouterr().out
    report = render(store, study)
    state = StudyState(store, study)
    context = PageContext(state, Address(study=key, trial=1), LIGHT)
    pages = "".join(
        json.dumps(draw(context), default=lambda c: c.to_plotly_json(), ensure_ascii=False)
        for draw in (*(FIGURES[name] for name in FIGURE_NAMES), *TEXTS.values(), trial_card)
        if draw not in (attention_maps.predictions, predictions_page.fixed_and_broken)
    )
    best = findings.best
    assert best is not None
    assert best.gain is not None
    for surface in (terminal, report, pages):
        assert form.value(best.score, best.standard_error) in surface
        assert form.gain(best.gain, best.gain_error) in surface
        assert findings.metric.noun in surface
    [better] = confirmation.better
    assert better.gain is not None
    for surface in (terminal, report):
        assert form.gain_with_unit(better.gain.mean, better.gain.standard_error) in surface
    noun = re.escape(findings.metric.noun)
    assert re.search(rf"{noun} on the test split", terminal, re.IGNORECASE)
    if not form.in_percent:
        assert " points" not in terminal


@pytest.mark.parametrize("key", KEYS)
def test_a_claim_covers_new_images_if_predictions_are_kept(store: Store, key: str) -> None:
    study = store.studies.get(key)
    confirmation = read_confirmation(store, study, read_findings(store, study))
    assert confirmation is not None
    [better] = confirmation.better
    assert better.gain is not None
    assert better.gain.image_error is not None
    assert better.gain.image_error > 0
    assert MetricFormat(confirmation.metric).with_unit("") in conclusion(confirmation)
    assert not any("were not kept" in w for w in confirmation_warnings(confirmation))


def test_the_list_has_the_best_value_of_each_metric(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = {entry.summary.study.name: entry for entry in list_studies(store)}
    print_studies(listed.values())
    terminal = capsys.readouterr().out
    for key in KEYS:
        shown = listed_study_json(listed[key])
        assert shown["metric"] == key
        assert shown["best"] != shown["best_accuracy"]
        assert MetricFormat(store.studies.get(key).metric).value(listed[key].best.score) in terminal
