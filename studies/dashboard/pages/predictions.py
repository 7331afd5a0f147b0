"""Predictions: the images that an attention fixes and breaks, its classes, its calibration."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from dash import dcc, html

from ....runners.metrics import METRICS, recorded_metric
from ...analysis.classification import Classification
from ...figures.classification import calibration_figure, confusion_figure
from ...outputs.report_predictions import best_with_attention
from ...outputs.trial_predictions import BareComparison, JudgedImage
from ...records import TrialRecord
from ...text import captions, formatting
from ...text.predictions import (
    describe_calibration,
    describe_comparison,
    describe_test,
    metric_value,
)
from ..cache import ComputationError
from ..components import (
    COMPUTING,
    Component,
    figure_slot,
    remark,
    section,
    short_architecture,
    table,
    text_slot,
    waiting_figure,
)
from ..context import PageContext

MAX_CLASS_ROWS = 100


def page(context: PageContext) -> Component:
    """The page without its figures; only metrics if a user's own evaluation trains the study."""
    if (target := context.state.study.config.evaluation) is not None:
        caption = f"Measured by {target}, which keeps no predictions of single images."
        return [section("Metrics", caption, text_slot("metrics"))]
    return [
        section(
            "Images that attention fixes and breaks",
            captions.FIXED_AND_BROKEN,
            text_slot("fixed-and-broken"),
        ),
        section("Metrics", captions.METRICS, text_slot("metrics")),
        section(
            "Classes", "Each class, and for what it is taken most often.", text_slot("classes")
        ),
        section("Confusion", captions.CONFUSION, figure_slot("confusion", 300)),
        section(
            "Calibration",
            captions.CALIBRATION,
            text_slot("calibration-error"),
            figure_slot("calibration", 360),
        ),
    ]


def controls(context: PageContext) -> Component:
    """The choice of the trial."""
    findings = context.state.analysis.findings(None, context.cost)
    summaries = {s.number: s for s in (*findings.front, *findings.baselines)}
    if findings.best is not None:
        summaries[findings.best.number] = findings.best
    options = [
        {"label": f"{n}: {formatting.short_architecture(s.architecture)}", "value": n}
        for n, s in sorted(summaries.items())
    ]
    confirmation = context.state.confirmation.value
    options += [] if confirmation is None else _confirming_options(context)
    chosen = trial_number(context)
    if chosen is not None and chosen not in {option["value"] for option in options}:
        options.append({"label": f"trial {chosen}", "value": chosen})
    dropdown = dcc.Dropdown(options, chosen, id={"control": "trial"}, placeholder="choose a trial")
    return html.Div([html.Label(["Trial", dropdown])], className="controls single")


def _confirming_options(context: PageContext) -> list[dict[str, object]]:
    """The first complete confirming trial of each architecture."""
    options: dict[str, dict[str, object]] = {}
    store, study = context.state.store, context.state.study
    for trial in store.trials.read(study, state="complete", confirming=True):
        label = f"confirmed: {formatting.short_architecture(trial.parsed)}"
        options.setdefault(trial.key, {"label": label, "value": trial.number})
    return list(options.values())


def trial_number(context: PageContext) -> int | None:
    """The trial that is shown: the selected one, else the recommended one with attention."""
    if context.address.trial is not None:
        return context.address.trial
    findings = context.state.analysis.findings()
    attentive = best_with_attention(findings)
    if attentive is None and findings.bare is not None:
        return findings.bare.number
    return attentive


def _trial(context: PageContext) -> TrialRecord | None:
    number = trial_number(context)
    return None if number is None else context.state.records.trial(number)


def fixed_and_broken(context: PageContext) -> Component:
    """How many images are fixed and broken, and which."""
    trial = _trial(context)
    if trial is None:
        return remark("No such trial, or no complete one yet.")
    try:
        result = context.state.predictions.comparison(trial)
    except ComputationError as error:
        return remark(str(error))
    return remark(COMPUTING) if result is None else comparison_content(result)


def comparison_content(result: BareComparison) -> Component:
    """A comparison with the bare backbone: sentences, then the images."""
    trial, comparison = result.trial, result.comparison
    head = html.P([short_architecture(trial.architecture), f", trial {trial.number}"])
    if comparison is None:
        return [head, html.P(_as_sentence(result.problem or ""))]
    split = "test" if trial.confirms else "validation"
    return [
        head,
        html.P(describe_comparison(comparison, split), className="summary"),
        html.P(describe_test(comparison)),
        remark(f"{formatting.plural(len(result.seeds), 'common seed')}: "
               f"{', '.join(map(str, result.seeds))}."),
        remark(result.problem) if result.problem else None,
        *gallery("Fixed", "good", result.fixed, comparison.fixed_images, comparison.pairs),
        *gallery("Broken", "bad", result.broken, comparison.broken_images, comparison.pairs),
    ]  # fmt: skip


def _as_sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def gallery(
    title: str,
    kind: str,
    images: Sequence[JudgedImage],
    count: int,
    pairs: int,
    judges: tuple[str, str] = ("attention", "bare"),
) -> list[Component]:
    """Images that two architectures judge differently, with a heading.

    Args:
        title: of the heading.
        kind: `good` or `bad`, for the colour.
        images: those that are shown.
        count: how many there are.
        pairs: of networks.
        judges: what the two architectures are called.
    """
    shown = f", {len(images)} of them shown" if len(images) < count else ""
    heading = html.H3(f"{title}: {formatting.plural(count, 'image')}{shown}")
    cards = [_image_card(image, kind, pairs, judges) for image in images]
    return [heading, html.Div(cards, className="gallery")] if cards else [heading]


def _image_card(image: JudgedImage, kind: str, pairs: int, judges: tuple[str, str]) -> Component:
    predictions = {judges[1]: ", ".join(image.bare), judges[0]: ", ".join(image.attentive)}
    judged = ", ".join(f"{name} {classes}" for name, classes in predictions.items())
    text = f"Image {image.number}, class {image.label}: {judged}"
    drawn = html.Div("no image", className="none")
    if image.url:
        drawn = html.Img(src=image.url, alt=text)
    lines = [
        html.B(image.label),
        html.Span([f"{judges[1]}: ", predictions[judges[1]]]),
        html.Span([f"{judges[0]}: ", predictions[judges[0]]], className=kind),
    ]
    if pairs > 1:
        lines.append(html.Span(f"{image.pairs} of {pairs} seeds"))
    return html.Figure([drawn, html.Figcaption(lines)], title=text)


def metrics(context: PageContext) -> Component:
    """The metrics of the trial beside those of the bare backbone."""
    trial = _trial(context)
    if trial is None:
        return remark("No such trial, or no complete one yet.")
    return metrics_table(context, trial)


def metrics_table(context: PageContext, trial: TrialRecord) -> Component:
    """A table of a trial's metrics, beside those of the bare trial of its seed."""
    if trial.state != "complete":
        return remark("Metrics are computed when a trial is complete.")
    predictions = context.state.predictions
    recorded = predictions.metrics(trial)
    if not recorded:
        return remark("This trial has recorded no metrics besides its accuracy.")
    values = {"accuracy": trial.accuracy, **recorded}
    bare = predictions.bare_of_same_seed(trial)
    head, bare_values = ["", f">trial {trial.number}"], {}
    if bare is not None:
        head.append(f">bare, trial {bare.number}")
        bare_values = {"accuracy": bare.accuracy, **predictions.metrics(bare)}
    rows = []
    for key, value in values.items():
        if value is None and bare_values.get(key) is None:
            continue  # The accuracy, which a user's own evaluation need not report.
        metric = recorded_metric(key)
        row = [metric.title, metric_value(metric, value)]
        rows.append([*row, metric_value(metric, bare_values.get(key))] if bare else row)
    return table(head, rows)


def _classification(context: PageContext) -> Classification | str:
    """How the trial classifies, or what to show instead."""
    trial = _trial(context)
    if trial is None:
        return "No such trial, or no complete one yet."
    try:
        result = context.state.predictions.classification(trial)
    except ComputationError as error:
        return str(error)
    return COMPUTING if result is None else result


def classes(context: PageContext) -> Component:
    """A table with one row for each class."""
    result = _classification(context)
    if isinstance(result, str):
        return remark(_as_sentence(result))
    entries = list(result.classes)
    if len(entries) > MAX_CLASS_ROWS:
        entries.sort(key=lambda entry: 2.0 if entry.recall is None else entry.recall)
    taken_for = {pair[0]: pair for pair in reversed(result.confused_pairs(len(entries) ** 2))}
    rows: list[list[Component]] = []
    for entry in entries[:MAX_CLASS_ROWS]:
        confusion = taken_for.get(entry.name)
        rows.append(
            [
                entry.name,
                formatting.integer(entry.images),
                *(formatting.percent(v) for v in (entry.recall, entry.precision, entry.f1)),
                metric_value(METRICS["auroc"], entry.auroc),
                f"{confusion[1]} ({confusion[2]})" if confusion else formatting.MISSING,
            ]
        )
    head = ["Class", ">Images", ">Recall", ">Precision", ">F1", ">AUROC", "Most often taken for"]
    cut = len(entries) - MAX_CLASS_ROWS
    more = [remark(f"{cut} classes with a higher recall are left out.")] if cut > 0 else []
    return [table(head, rows), *more]


def confusion(context: PageContext) -> go.Figure:
    """The confusion matrix."""
    result = _classification(context)
    if isinstance(result, str):
        return waiting_figure(context.theme, "" if result != COMPUTING else COMPUTING)
    return confusion_figure(result, context.theme)


def calibration_error(context: PageContext) -> Component:
    """The expected calibration error in a sentence."""
    result = _classification(context)
    if isinstance(result, str) or result.calibration is None:
        return None
    return html.P(describe_calibration(result.calibration, result.metrics["accuracy"]))


def calibration(context: PageContext) -> go.Figure:
    """The reliability diagram."""
    result = _classification(context)
    if isinstance(result, str):
        return waiting_figure(context.theme, "" if result != COMPUTING else COMPUTING)
    return calibration_figure(result.calibration, context.theme)
