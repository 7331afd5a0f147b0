"""Studies, trials and confirmations as tables and sentences on the terminal.

Commands import this module only when they run, because it imports the analysis and the database.
"""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from ...runners.metrics import METRICS, Metric, recorded_metric
from ...studies.analysis.alternatives import AlternativesSummary
from ...studies.analysis.confirmation import Confirmation
from ...studies.analysis.confirmed_alternatives import ConfirmedAlternative
from ...studies.analysis.contenders import Contender
from ...studies.analysis.findings import ArchitectureSummary, Findings
from ...studies.analysis.recommendation import Recommendation, recommend
from ...studies.database.store import Store
from ...studies.objectives import ACCURACY, BY_KEY, Objective
from ...studies.outputs.alternatives import (
    describe_alternatives,
    read_alternatives,
    read_confirmed_alternatives,
)
from ...studies.outputs.judged_images import read_confirmation, read_study_warnings
from ...studies.outputs.read_findings import read_findings
from ...studies.outputs.study_list import ListedStudy
from ...studies.outputs.trial_predictions import trial_metrics
from ...studies.records import COST_ERROR_KEYS, State, StudyRecord, TrialRecord
from ...studies.text import formatting
from ...studies.text.alternatives import (
    FAIRNESS,
    alternatives_header,
    alternatives_rows,
    confirmed_sentence,
    remark_sentences,
)
from ...studies.text.chance import chance_line
from ...studies.text.confirmation import (
    conclusion,
    confirmation_warnings,
    describe_test_images,
    gain_text,
    interval_text,
    p_value,
)
from ...studies.text.expected_gain import expected_gain_sentence
from ...studies.text.metric_format import MetricFormat, objective_value
from ...studies.text.predictions import metric_value
from ...studies.text.summary import caveat, noise_details, summary_sentence
from .architecture_cell import ArchitectureCell
from .console import wrap_words
from .metrics import print_classification
from .shared import out, plain_table, print_line

MAX_FRONT_ROWS = 12
"""Architectures of the front that a terminal shows, the most expensive ones."""
MAX_FAILURES = 5


def print_studies(studies: Iterable[ListedStudy]) -> None:
    """Print one line for each study."""
    table = plain_table(
        "study", "backbone", ">trials", ">pruned", ">failed", ">best", "last change (local time)"
    )
    for study in studies:
        summary, counts = study.summary, study.summary.counts
        table.add_row(
            Text(summary.study.name),
            Text(summary.study.backbone),
            str(counts.get("complete", 0)),
            str(counts.get("pruned", 0)),
            str(counts.get("failed", 0)),
            _best_so_far(study),
            f"{summary.last_activity.astimezone():%Y-%m-%d %H:%M}",
        )
    out.print(table)


def _best_so_far(study: ListedStudy) -> str:
    if study.summary.study.config.is_being_set_up:
        return "being set up"
    metric = study.summary.study.metric
    best = MetricFormat(metric).value(study.best.score if study.best else None)
    return best if metric == ACCURACY or study.best is None else f"{best} {metric.noun}"


def print_summary(store: Store, record: StudyRecord) -> Recommendation | None:
    """Print a study's counts, its front, what it recommends, and its failures.

    Returns:
        The recommendation; None if there is none yet.
    """
    record = store.studies.get(record.name)  # A run stores its alternatives and forecasts.
    trials = store.trials.read(record)
    findings = read_findings(store, record, trials)
    rejections = store.trials.read_rejections(record)
    words = [
        f"{count} {_state_word(store, record, state)}"
        for state, count in findings.counts.items()
        if count
    ]
    words += [f"{len(rejections)} rejected before training"] if rejections else []
    out.print(Text(record.name, style="bold"), end="")
    print_line(f" · {record.backbone} · {', '.join(words) or _no_trials(record)}")
    if findings.front:
        _print_front(findings)
    confirmation = read_confirmation(store, record, findings)
    if findings.front:
        print_line(f"\n{summary_sentence(record, findings, confirmation)}")
        if doubt := caveat(findings, confirmation):
            print_line(doubt)
    if sentence := expected_gain_sentence(record.config, findings):
        print_line(sentence)
    _print_warnings(read_study_warnings(store, record, findings), out)
    if alternatives := read_alternatives(store, record, findings, trials):
        _print_alternatives(alternatives, findings)
    if confirmation is not None:
        print_line(f"\nConfirmation: {conclusion(confirmation)}")
        confirmed = read_confirmed_alternatives(store, record, confirmation)
        if sentence := confirmed_sentence(confirmed):
            print_line(sentence)
        _print_warnings(confirmation_warnings(confirmation), out)
    failures = [trial for trial in trials if trial.failure]
    for trial in failures[:MAX_FAILURES]:
        print_line(f"#{trial.number} failed, {trial.failure.kind}: {trial.failure.message}")  # type: ignore[union-attr]
    if len(failures) > MAX_FAILURES:
        print_line(f"… and {len(failures) - MAX_FAILURES} more failures")
    unusable = Counter(r.reason for r in rejections if not r.exceeds_limit)
    for reason, count in unusable.most_common(MAX_FAILURES):
        print_line(f"{formatting.plural(count, 'architecture')} rejected: {reason}")
    return recommend(findings, confirmation)


def _state_word(store: Store, record: StudyRecord, state: State) -> str:
    """A state of trials; those of a search that was interrupted are not running."""
    if state != "running" or store.leases.holder(record) is not None:
        return state
    return "unfinished (resume continues them)"


def _print_alternatives(summary: AlternativesSummary, findings: Findings) -> None:
    """Print what one would do instead of attention, as a table and in words."""
    if summary.alternatives:
        table = plain_table(*alternatives_header(findings.metric, findings.costs))
        for row in alternatives_rows(summary, findings.costs):
            table.add_row(*(Text(cell) for cell in row))
        print_line(f"\nAlternatives to attention. {FAIRNESS}")
        out.print(table)
        print_line(describe_alternatives(summary, findings))
    for sentence in remark_sentences(summary):
        print_line(sentence)


def _no_trials(record: StudyRecord) -> str:
    if not record.config.is_being_set_up:
        return "no trials yet"
    return (
        "being set up, no trials yet; if that was interrupted, "
        f"`attentune resume {shlex.quote(record.name)}` continues it"
    )


def _print_front(findings: Findings) -> None:
    costs = [f">{name}" for cost in findings.compared for name in _cost_names(cost)]
    form = MetricFormat(findings.metric)
    table = plain_table(">trial", f">{form.metric.noun}", ">gain", *costs, "architecture")
    front = findings.front[-MAX_FRONT_ROWS:]
    baselines = [b for b in findings.baselines if b not in findings.front]
    heading = "Pareto front, then the other baselines"
    for summary in front:
        table.add_row(*_summary_row(summary, findings))
    if findings.best and findings.best not in (*front, *baselines):
        heading = "Pareto front, best, other baselines"
        table.add_row(*_summary_row(findings.best, findings))
    if baselines:
        table.add_section()
    for summary in baselines:
        table.add_row(*_summary_row(summary, findings), style="dim")
    print_line(f"\n{heading}; gain over the bare backbone{form.in_unit}:")
    out.print(table)
    if findings.noise:
        deviation = form.deviation(findings.noise.deviation)
        details = noise_details(findings.noise, findings.metric)
        print_line(f"Noise of one trial: {deviation} ({details}).")
    if chance := chance_line(findings.images, "validation", findings.metric):
        print_line(chance)


def _cost_names(cost: Objective) -> list[str]:
    """The columns of a cost; latencies of a study are compared by their ratio."""
    if cost.is_further:
        return [cost.noun]
    return [cost.name, "× bare"] if cost.key == "latency_ms" else [cost.name]


def _cost_cells(summary: ArchitectureSummary, cost: Objective) -> list[str]:
    cells = [objective_value(summary.values, cost)]
    return (
        [*cells, formatting.latency_ratio(summary.values)] if len(_cost_names(cost)) > 1 else cells
    )


def _summary_row(summary: ArchitectureSummary, findings: Findings) -> list[str | ArchitectureCell]:
    form = MetricFormat(findings.metric)
    reached = form.value(summary.score, summary.standard_error)
    gain = formatting.MISSING
    if summary.gain is not None:
        gain = form.gain(summary.gain, summary.gain_error)
    costs = [text for cost in findings.compared for text in _cost_cells(summary, cost)]
    picks = {"best": findings.best, "knee": findings.knee}
    labels = [label for label, pick in picks.items() if pick == summary]
    text = Text(formatting.short_architecture(summary.architecture))
    if labels:
        text.append(f"  ← {', '.join(labels)}", "bold green")
    return [f"#{summary.number}", reached, gain, *costs, ArchitectureCell(text)]


def _value(key: str, values: Mapping[str, float], searched: Objective) -> str:
    """A value of a trial with its unit and error; counts with all their digits.

    Args:
        key: of the value.
        values: of the trial.
        searched: the metric of the study.
    """
    if (metric := _metric_of(key, searched)) is not None:
        return metric_value(metric, values[key])
    if key == "latency_ratio":
        return f"{formatting.latency_ratio(values)} × the bare backbone"
    objective = BY_KEY[key]
    if objective.unit:
        return formatting.cost_of(values, objective)
    return formatting.integer(int(values[key]))


def _metric_of(key: str, searched: Objective) -> Metric | None:
    """The metric with a key among a trial's values; None if it is a cost."""
    return searched.metric if key == searched.key else METRICS.get(key)


def _name_of(key: str, searched: Objective) -> str:
    if key == searched.key:
        return searched.noun
    return BY_KEY[key].noun if key in METRICS else key


def print_trial(store: Store, record: StudyRecord, trial: TrialRecord) -> None:
    """Print one trial in detail: its settings, results, epochs and environment."""
    table = plain_table("", "")
    table.show_header = False
    facts: list[tuple[str, Any]] = [
        ("trial", f"#{trial.number} of {record.name}"),
        ("architecture", trial.architecture),
        ("key", trial.key),
        ("seed", trial.seed),
        ("role", trial.role),
        (
            "state",
            _state_word(store, record, trial.state) + (f": {trial.note}" if trial.note else ""),
        ),
    ]
    facts += [
        (_name_of(key, record.metric), _value(key, trial.values, record.metric))
        for key in trial.values
        if key not in COST_ERROR_KEYS
    ]
    facts += [
        (recorded_metric(key).title, metric_value(recorded_metric(key), value))
        for key, value in trial_metrics(store, record, trial).items()
        if key not in trial.values
    ]
    if trial.seconds is not None:
        facts.append(("time", formatting.duration(trial.seconds)))
    if trial.failure:
        facts.append(("failure", f"{trial.failure.kind}: {trial.failure.message}"))
    for name, value in facts:
        table.add_row(name, Text(str(value)))
    environment = store.trials.read_environments(record).get(trial.environment or "", {})
    for name, value in environment.items():
        table.add_row(Text(name, style="dim"), Text(str(value), style="dim"))
    out.print(table)
    print_classification(store, record, trial)
    epochs = store.epochs.read(record, trial.number)
    if epochs:
        form = MetricFormat(record.metric)
        losses = [  # A user's own training need not report them.
            (heading, name)
            for heading, name in ((">train loss", "train_loss"), (">val loss", "val_loss"))
            if any(math.isfinite(getattr(epoch.report, name)) for epoch in epochs)
        ]
        headings = [heading for heading, _ in losses]
        curve = plain_table(">epoch", *headings, f">{form.metric.noun}", ">seconds")
        for epoch in epochs:
            report = epoch.report
            shown = (f"{getattr(report, name):.4f}" for _, name in losses)
            reached = form.value(report.score)
            curve.add_row(str(report.epoch), *shown, reached, f"{report.seconds:.1f}")
        out.print()
        out.print(curve)


def print_confirmation(
    confirmation: Confirmation, alternatives: Sequence[ConfirmedAlternative], console: Console
) -> None:
    """Print the contenders with their gains over the bare backbone, and what can be claimed.

    Args:
        confirmation: of the study.
        alternatives: to attention that are confirmed too.
        console: to print to.
    """
    form = MetricFormat(confirmation.metric)
    table = plain_table(">test", ">searched", ">gain", ">95 % interval", ">p", "architecture")
    for contender in confirmation.contenders:
        style = "" if contender.finalist else "dim"
        table.add_row(*_contender_row(contender, form), style=style)
    if confirmation.contenders:
        console.print(
            f"{form.metric.heading} {describe_test_images(confirmation)} after "
            f"{formatting.plural(confirmation.epochs, 'epoch')}, and gain over the bare backbone"
            f"{form.in_unit}, with p corrected for the number of comparisons:",
            soft_wrap=True,
        )
        console.print(table)
        if chance := chance_line(confirmation.images, "test", confirmation.metric):
            console.print(Text(wrap_words(chance, console)), soft_wrap=True)
        console.print()
    console.print(Text(wrap_words(conclusion(confirmation), console)), soft_wrap=True)
    if sentence := confirmed_sentence(alternatives):
        console.print(Text(wrap_words(sentence, console)), soft_wrap=True)
    _print_warnings(confirmation_warnings(confirmation), console)


def _print_warnings(warnings: Iterable[str], console: Console) -> None:
    for warning in warnings:
        console.print(Text(wrap_words(warning, console), style="yellow"), soft_wrap=True)


def _contender_row(contender: Contender, form: MetricFormat) -> list[str | Text | ArchitectureCell]:
    reached = form.value(contender.score, contender.standard_error)
    searched = contender.searched
    before = form.value(None if searched is None else searched.score)
    gain = contender.gain
    name = ArchitectureCell(Text(formatting.short_architecture(contender.architecture)))
    if gain is None:
        return [reached, before, formatting.MISSING, "", "", name]
    p = Text(p_value(gain.corrected).removeprefix("p ").removeprefix("= "))
    p.stylize("bold" if gain.claimed else "")
    gain_cell, interval = (
        gain_text(gain, form.metric, error=False),
        interval_text(gain, form.metric),
    )
    return [reached, before, gain_cell, interval, p, name]
