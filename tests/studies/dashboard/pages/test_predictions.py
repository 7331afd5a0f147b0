"""The page of predictions, the card and the report of a study that has them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from attentune.search.cli.metrics import print_metrics
from attentune.studies.dashboard.address import Address
from attentune.studies.dashboard.context import PageContext
from attentune.studies.dashboard.pages import pair
from attentune.studies.dashboard.pages import predictions as page
from attentune.studies.dashboard.study_state import StudyState
from attentune.studies.database.store import Store
from attentune.studies.figures.classification import calibration_figure, confusion_figure
from attentune.studies.figures.themes import DARK, LIGHT
from attentune.studies.outputs.report import render
from attentune.studies.outputs.study_json import study_json, trial_json
from attentune.studies.outputs.trial_predictions import compare_with_bare, read_classification
from predicted_study import create_study, fill_confirmation, fill_study


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with Store.open(tmp_path_factory.mktemp("predicted") / "x.db", create=True) as opened:
        study = create_study(opened)
        fill_study(opened, study)
        fill_confirmation(opened, study)
        create_study(opened, "empty")
        yield opened


@pytest.fixture(scope="module")
def study(store):
    return store.studies.get("predicted")


def words(component):
    """All text of a component."""
    return json.dumps(component, default=lambda c: c.to_plotly_json())


def context(store, name, trial=None):
    state = StudyState(store, store.studies.get(name))
    return PageContext(state, Address(study=name, trial=trial), LIGHT)


def test_the_page_shows_the_images_that_the_best_architecture_fixes(store, study):
    shown = context(store, "predicted")
    assert page.trial_number(shown) == 1
    trial = store.trials.get(study, 1)
    content = words(
        page.comparison_content(
            compare_with_bare(store, study, trial, store.trials.read(study), 24)
        )
    )
    assert "Over 2 common seeds it fixes on average" in content
    assert "McNemar's test" in content
    assert content.count("data:image/png") == content.count('"Figcaption"')
    assert "of 2 seeds" in content


def test_metrics_stand_beside_those_of_the_bare_backbone_of_the_seed(store, study):
    content = words(page.metrics(context(store, "predicted", 3)))
    assert ">bare, trial 2" in content or "bare, trial 2" in content
    assert "Balanced accuracy" in content
    assert "bare, trial" not in words(page.metrics(context(store, "predicted", 0)))


def test_a_study_without_trials_has_a_page(store):
    shown = context(store, "empty")
    assert page.trial_number(shown) is None
    for text in (page.fixed_and_broken, page.metrics, page.classes):
        assert "no complete one yet" in words(text(shown))
    assert page.calibration_error(shown) is None
    for figure in (page.confusion, page.calibration):
        assert figure(shown) is not None


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_confusion_and_calibration_are_drawn(store, study, theme):
    result = read_classification(store, study, store.trials.get(study, 1))
    matrix = confusion_figure(result, theme).data[0]
    assert sum(map(sum, matrix.customdata)) == sum(entry.images for entry in result.classes)
    assert len(calibration_figure(result.calibration, theme).data[0].x) == len(
        result.calibration.bins
    )
    message = calibration_figure(None, theme).layout.annotations[0].text
    assert "not kept" in message


def test_json_has_metrics_of_trials_and_means_of_architectures(store, study):
    listed = json.loads(json.dumps(study_json(store, study)))
    by_number = {trial["number"]: trial["metrics"] for trial in listed["trials"]}
    assert set(by_number[0]) == {"top5", "balanced_accuracy", "macro_f1", "auroc", "log_loss"}
    se = next(a for a in listed["architectures"] if a["number"] == 1)
    mean = (by_number[1]["log_loss"] + by_number[3]["log_loss"]) / 2
    assert se["metrics"]["log_loss"] == pytest.approx(mean)
    detail = json.loads(json.dumps(trial_json(store, study, store.trials.get(study, 1))))
    assert len(detail["confusion"]) == len(detail["classes"]) == 10
    assert detail["predictions_missing"] is None
    assert detail["metrics"] == by_number[1]


def test_the_report_shows_metrics_and_images(store, study):
    html = render(store, study)
    assert "Images that attention fixes and breaks" in html
    assert html.count("data:image/png;base64") >= 5
    assert "Balanced accuracy" in html
    empty = render(store, store.studies.get("empty"))
    assert "Images that attention" not in empty


def test_every_surface_shows_the_estimated_accuracy(store, study, capsys):
    listed = study_json(store, study)["architectures"]
    print_metrics(store, study)
    printed, html = capsys.readouterr().out, render(store, study)
    for architecture in listed:
        accuracy = f"{100 * architecture['accuracy']:.1f} ±"
        assert accuracy in printed
        assert accuracy in html or not architecture["front"]


def test_two_architectures_are_compared_image_by_image(store, study):
    shown = context(store, "predicted")
    state, shown = shown.state, replace(shown, address=Address(first=1))
    first = state.records.trials(list(state.analysis.summary_of(1).numbers))
    second = state.records.trials(list(state.analysis.findings().bare.numbers))
    while state.predictions.pair(first, second) is None:
        pass
    content = words(pair.images(shown))
    assert "validation images are recognised by the first only" in content
    assert "Only the second is right" in content
    assert content.count("data:image/png") == content.count('"Figcaption"') > 0
