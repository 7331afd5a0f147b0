"""Two architectures side by side: what differs, results by seed, curves, costs, and images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from dash import dcc, html

from ...analysis.findings import (
    MIN_ERRORS_OF_A_GAIN,
    ArchitectureSummary,
    standard_error,
)
from ...figures.learning_curves import architecture_curves_figure
from ...figures.paired_seeds import paired_seeds_figure
from ...outputs.report_predictions import best_with_attention
from ...outputs.trials_table import architecture_choices, choice_columns
from ...records import TrialRecord
from ...text import formatting
from ...text.metric_format import MetricFormat, objective_value
from ...text.predictions import describe_pair, describe_test
from ..cache import ComputationError
from ..components import (
    COMPUTING,
    Component,
    figure_slot,
    remark,
    section,
    sentence,
    short_architecture,
    table,
    text_slot,
)
from ..context import PageContext
from .filter_controls import controls_bar, curve_choice
from .predictions import gallery
from .trial_card import architecture_diagram

NAMES = ("first", "second")
MISSING_PAIR = "Choose two architectures with a complete trial above."
Pair = tuple[ArchitectureSummary, ArchitectureSummary]


def page(context: PageContext) -> Component:
    """The page without its figures."""
    parts = [
        text_slot("pair-summary"),
        section("What differs", "Choices that differ are marked.", text_slot("pair-choices")),
        section(
            "Results and costs",
            "Estimates of the study's model, and means of the costs.",
            text_slot("pair-values"),
        ),
        section(
            "Seed by seed",
            "With one seed, both start from the same weights of the backbone and see the images in "
            "the same order. Only complete trials are shown.",
            text_slot("pair-seed-table"),
            figure_slot("pair-seeds", 320),
        ),
        section(
            "Learning curves",
            "All trials of both, pruned and failed ones included.",
            figure_slot("pair-curves", 320),
        ),
    ]
    if context.state.study.config.evaluation is None:
        caption = "Validation images that only one of the two recognises, over their common seeds."
        title = "Images that one of them gets right"
        parts.append(section(title, caption, text_slot("pair-images")))
    return parts


def controls(context: PageContext) -> Component:
    """The choice of the two architectures, and what the curves show."""
    findings = context.state.analysis.findings(None, context.cost)
    known = {s.number: s for s in (*findings.front, *findings.baselines)}
    if findings.best is not None:
        known[findings.best.number] = findings.best
    chosen = chosen_numbers(context)
    for number in (*chosen, context.address.trial):
        summary = context.state.analysis.summary_of(number)
        if number is not None and summary is not None and number not in known:
            known[number] = summary
    options = [
        {"label": f"{n}: {formatting.short_architecture(s.architecture)}", "value": n}
        for n, s in sorted(known.items())
    ]
    labels = ("First architecture", "Second architecture")
    choices = [
        html.Label([label, dcc.Dropdown(options, number, id={"control": name}, clearable=False)])
        for label, name, number in zip(labels, NAMES, chosen, strict=True)
    ]
    return controls_bar("Architectures", [*choices, curve_choice(context)])


def chosen_numbers(context: PageContext) -> tuple[int | None, int | None]:
    """Trials of the two architectures: those of the address, or else the best and the bare one."""
    findings, address = context.state.analysis.findings(), context.address
    bare = None if findings.bare is None else findings.bare.number
    best = best_with_attention(findings)
    first = address.first
    if first is None:
        first = best if address.second is None or address.second != best else bare
    second = address.second
    if second is None:
        is_bare = bare is not None and findings.bare and first in findings.bare.numbers
        second = best if is_bare else bare
    return first, second


def _pair(context: PageContext) -> Pair | None:
    summaries = [context.state.analysis.summary_of(n) for n in chosen_numbers(context)]
    first, second = summaries
    return None if first is None or second is None else (first, second)


def summary(context: PageContext) -> Component:
    """Which of the two is better, in one sentence, and their diagrams."""
    pair = _pair(context)
    if pair is None:
        return remark(MISSING_PAIR)
    first, second = pair
    return [
        sentence(_verdict(context, pair)),
        *(
            html.Div(
                [
                    html.P([html.B(name), " ", short_architecture(str(each.architecture))]),
                    architecture_diagram(
                        each.architecture, context.state.analysis.stages, context.theme
                    ),
                ]
            )
            for name, each in zip(("First:", "Second:"), (first, second), strict=True)
        ),
    ]


def _verdict(context: PageContext, pair: Pair) -> str:
    first, second = pair
    form = MetricFormat(context.state.study.metric)
    if first.architecture == second.architecture:
        return "Both are the same architecture."
    if context.state.analysis.findings().at_chance:
        return f"No {form.metric.noun} is above chance, so their difference is noise."
    difference = first.score - second.score
    better, worse = ("first", "second") if difference >= 0 else ("second", "first")
    try:
        error = context.state.background.difference_error(first.architecture, second.architecture)
    except ComputationError as failure:
        return str(failure)
    amount = form.gain_with_unit(abs(difference), error, signed=False)
    text = f"The {better} is better than the {worse} by {amount}"
    if error is None:
        return f"{text}; the error of the difference is being computed."
    if abs(difference) <= MIN_ERRORS_OF_A_GAIN * error:
        return f"{text}, which chance could explain: the two cannot be told apart."
    return (
        f"{text}, which is more than chance explains. If one of them was picked because it was the "
        "best of many, only `attentune confirm` can say by how much."
    )


def choices(context: PageContext) -> Component:
    """A table of what each has chosen where; rows that differ are marked."""
    pair = _pair(context)
    if pair is None:
        return remark(MISSING_PAIR)
    stages = context.state.analysis.stages
    facts = context.state.trials.model.insertion_facts
    reached = {text: each.shares.keys() for text, each in facts.items()}
    chosen = [architecture_choices(each.architecture, stages, reached) for each in pair]
    places = dict.fromkeys(column.rpartition(".")[0] for column in choice_columns(chosen, stages))
    rows = []
    for place in places:
        texts = [_choice_text(each, place) for each in chosen]
        if texts[0] == texts[1]:
            rows.append([place, *texts, ""])
        else:
            marked = [html.Mark(text) for text in texts]
            rows.append([place, *marked, html.Span("differs", className="tag")])
    return table(["", "First", "Second", "Difference"], rows)


def _choice_text(chosen: dict[str, str], place: str) -> str:
    """What is chosen in a place: `se, residual, r=16`."""
    values = {
        name: chosen.get(f"{place}.{name}", "")
        for name in ("own", "attention", "position", "ratio")
    }
    parts = [f"own attention {values['own']}" if values["own"] else "", values["attention"]]
    ratio = values["ratio"].strip("+")
    parts += [values["position"], f"r={values['ratio']}" if ratio else ""]
    return ", ".join(filter(None, parts)) or formatting.MISSING


def values(context: PageContext) -> Component:
    """Estimates, gains and costs of both, and how much the first differs from the second."""
    pair = _pair(context)
    if pair is None:
        return remark(MISSING_PAIR)
    first, second = pair
    analysis = context.state.analysis
    form = MetricFormat(context.state.study.metric)
    difference = form.gain_with_unit(first.score - second.score)
    rows: list[list[Component]] = [
        [
            form.metric.heading,
            *(form.value(each.score, each.standard_error) for each in pair),
            difference,
        ],
        [
            "Gain over the bare backbone",
            *(
                formatting.MISSING
                if each.gain is None
                else form.gain_with_unit(each.gain, each.gain_error)
                for each in pair
            ),
            "",
        ],
    ]
    for objective in (*context.state.study.further_metrics, *analysis.costs):
        change = ""
        if objective.is_cost:
            change = formatting.cost_change(first.values, second.values, objective) or ""
        elif all(objective.column in each.values for each in pair):
            gap = first.values[objective.column] - second.values[objective.column]
            change = MetricFormat(objective).gain_with_unit(gap)
        cells = [objective_value(each.values, objective) for each in pair]
        rows.append([objective.heading, *cells, change])
    rows.append(["Complete trials", *(str(len(each.numbers)) for each in pair), ""])
    return table(["", ">First", ">Second", ">First − second"], rows)


def _results(pair: Pair) -> dict[str, dict[int, tuple[int, float]]]:
    """By name and by seed, the number of a trial and its score."""
    return {
        name: {
            seed: (number, score)
            for seed, number, score in zip(each.seeds, each.numbers, each.scores, strict=True)
        }
        for name, each in zip(NAMES, pair, strict=True)
    }


def seed_table(context: PageContext) -> Component:
    """Results by seed, with differences, and their mean over the common seeds."""
    pair = _pair(context)
    if pair is None:
        return remark(MISSING_PAIR)
    first, second = _results(pair).values()
    form = MetricFormat(context.state.study.metric)
    common = sorted(first.keys() & second.keys())
    differences = [first[seed][1] - second[seed][1] for seed in common]
    rows: list[list[Component]] = []
    for seed in sorted({*first, *second}):
        cells = [form.value(each[seed][1] if seed in each else None) for each in (first, second)]
        is_pair = seed in first and seed in second
        gap = form.gain(first[seed][1] - second[seed][1]) if is_pair else formatting.MISSING
        rows.append([str(seed), *cells, gap])
    if not common:
        text = "They have no common seed, so seeds cannot be compared in pairs."
    else:
        mean = form.gain_with_unit(float(np.mean(differences)), standard_error(differences))
        text = f"Mean difference over {formatting.plural(len(common), 'common seed')}: {mean}."
        if len(common) == 1:
            text += " One pair says nothing of how much it scatters."
    unit = f", {form.unit}" if form.unit else ""
    return [table([">Seed", ">First", ">Second", f">Difference{unit}"], rows), html.P(text)]


def seeds(context: PageContext) -> go.Figure:
    """Results by seed."""
    pair = _pair(context)
    results = {} if pair is None else _results(pair)
    return paired_seeds_figure(results, context.state.study.metric, context.theme)


def curves(context: PageContext) -> go.Figure:
    """The learning curves of all trials of both."""
    pair, state = _pair(context), context.state
    numbers = {
        name: state.trials.numbers_of(each.architecture.key)
        for name, each in zip(reversed(NAMES), reversed(pair or ()), strict=False)
    }
    epochs = state.records.epochs([n for each in numbers.values() for n in each])
    metric, kind = state.study.metric, context.address.curve
    figure = architecture_curves_figure(
        numbers, epochs, metric, context.theme, kind=kind, height=320
    )
    return figure.update_layout(legend_traceorder="reversed")


def images(context: PageContext) -> Component:
    """The images that only one of the two recognises."""
    pair = _pair(context)
    if pair is None:
        return remark(MISSING_PAIR)
    if pair[0].architecture == pair[1].architecture:
        return remark("Both are the same architecture.")
    first, second = (_complete(context, each) for each in pair)
    try:
        result = context.state.predictions.pair(first, second)
    except ComputationError as error:
        return remark(str(error))
    if result is None:
        return remark(COMPUTING)
    comparison = result.comparison
    if comparison is None:
        problem = result.problem or ""
        return html.P(f"{problem[:1].upper()}{problem[1:]}")
    counts, pairs = (comparison.fixed_images, comparison.broken_images), comparison.pairs
    return [
        html.P(describe_pair(comparison), className="summary"),
        html.P(describe_test(comparison)),
        remark(result.problem) if result.problem else None,
        *gallery("Only the first is right", "good", result.fixed, counts[0], pairs, NAMES),
        *gallery("Only the second is right", "bad", result.broken, counts[1], pairs, NAMES),
    ]


def _complete(context: PageContext, summary: ArchitectureSummary) -> Sequence[TrialRecord]:
    return context.state.records.trials(list(summary.numbers))
