"""A study as one offline HTML file: the summary, the figures, and what they are based on.

The file contains everything, Plotly's script included; its Content-Security-Policy forbids loading
anything else. Each figure is drawn for a light and a dark page, and the browser selects one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from plotly.utils import PlotlyJSONEncoder

from ... import __version__
from ...errors import StoreError
from ...files import atomic_write
from ...sanitize import escape_unsafe, replace_non_finite
from ..analysis.analyse import analyse, group_failures
from ..analysis.findings import ArchitectureSummary, Findings
from ..database.store import Store
from ..figures.browser import PLOTLY_CONFIG, plotly_script
from ..figures.themes import DARK, LIGHT
from ..missing_attentions import missing_note
from ..objectives import OBJECTIVES, Objective
from ..records import State, StudyRecord, TrialRecord
from ..text import captions, formatting
from ..text.alternatives import (
    alternatives_header,
    alternatives_rows,
    confirmed_sentence,
    remark_sentences,
)
from ..text.chance import chance_and_reason, chance_line
from ..text.confirmation import conclusion, confirmation_warnings
from ..text.expected_gain import expected_gain_sentence
from ..text.metric_format import MetricFormat, objective_value
from ..text.predictions import describe_comparison, describe_test
from ..text.summary import caveat, noise_details, summary_sentence
from .alternatives import (
    describe_alternatives,
    read_alternatives,
    read_confirmed_alternatives,
)
from .judged_images import read_confirmation, read_study_warnings
from .read_findings import read_model, with_images
from .report_predictions import MetricsTable, compare_best_with_bare
from .study_figures import StudyFigure, study_figures

MAX_TRIAL_ROWS, MAX_FRONT_ROWS = 1000, 60
"""Rows of the tables of all trials and of the front; the figures show all of them."""


def write_report(store: Store, study: StudyRecord | str, path: str | Path) -> Path:
    """Write the report of a study to a file, which is replaced only when the report is complete.

    Args:
        store: the database.
        study: the study or its name.
        path: the HTML file; an existing one is replaced.

    Returns:
        The path of the file.

    Raises:
        StoreError: the file cannot be written.
        StudyError: there is no such study.
    """
    record = study if isinstance(study, StudyRecord) else store.studies.get(study)
    target = Path(path).expanduser()
    if target.is_dir():
        raise StoreError(
            f"{target} is a folder; name a file in it, such as {target / 'report.html'}."
        )
    if not target.parent.is_dir():
        raise StoreError(f"the folder {target.parent} does not exist; make it first.")
    text = render(store, record)
    try:
        with atomic_write(target) as draft:
            draft.write_text(text, "utf-8")
    except OSError as error:
        raise StoreError(
            f"cannot write {target}: {error.strerror}; choose another file with -o."
        ) from None
    return target


def render(store: Store, study: StudyRecord) -> str:
    """The HTML of a study's report."""
    trials = store.trials.read(study)
    model = read_model(store, study)
    findings = with_images(store, study, analyse(study, trials, model))
    confirmation = read_confirmation(store, study, findings)
    undrawn = study_figures(
        findings, trials, store.epochs.read(study), study.config, model, confirmation
    )
    figures = [ReportFigure.draw(figure) for figure in undrawn]
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals.update(
        formatting=formatting,
        captions=captions,
        describe_comparison=describe_comparison,
        describe_test=describe_test,
    )
    templates.filters["breakable"] = _breakable
    return templates.get_template("report.html").render(
        study=study,
        findings=findings,
        trials=trials[:MAX_TRIAL_ROWS],
        max_front_rows=MAX_FRONT_ROWS,
        omitted=max(0, len(trials) - MAX_TRIAL_ROWS),
        summary=summary_sentence(study, findings, confirmation),
        caveat=caveat(findings, confirmation),
        conclusion=confirmation and conclusion(confirmation),
        confirmation_chance=confirmation
        and chance_line(confirmation.images, "test", confirmation.metric),
        confirmed_alternatives=confirmed_sentence(
            read_confirmed_alternatives(store, study, confirmation)
        ),
        expected_gain=expected_gain_sentence(study.config, findings),
        warnings=read_study_warnings(store, study, findings),
        confirmation_warnings=() if confirmation is None else confirmation_warnings(confirmation),
        missing=missing_note(study, trials),
        key_numbers=_key_numbers(store, study, findings, trials),
        figures=figures,
        costs=_shown_costs(findings),
        objective_value=objective_value,
        form=MetricFormat(findings.metric),
        metrics=MetricsTable.of(findings, store.metrics.read(study)),
        compared=compare_best_with_bare(store, study, findings, trials),
        alternatives=_alternatives(store, study, findings, trials),
        failures=group_failures(trials),
        rejections=store.trials.read_rejections(study),
        environment=_environment(store.trials.read_environments(study)),
        command=study.config.command,
        config=_readable_json(study.config.settings_json),
        version=__version__,
        written=datetime.now(UTC),
        plotly=Markup(plotly_script()),
        plotly_config=_script_json(dict(PLOTLY_CONFIG)),
        plots=_script_json({figure.name: figure.plots for figure in figures}),
    )


def _alternatives(
    store: Store, study: StudyRecord, findings: Findings, trials: Sequence[TrialRecord]
) -> dict[str, Any] | None:
    """The table of the alternatives to attention, and what it says; None if none were asked for."""
    summary = read_alternatives(store, study, findings, trials)
    if summary is None:
        return None
    costs = _shown_costs(findings)
    return {
        "header": alternatives_header(findings.metric, costs),
        "rows": list(alternatives_rows(summary, costs)),
        "sentence": describe_alternatives(summary, findings),
        "remarks": list(remark_sentences(summary)),
    }


def _readable_json(value: Any) -> str:
    """JSON to be read, in which letters of all languages stay as they are."""
    plain = replace_non_finite(value)
    return escape_unsafe(json.dumps(plain, indent=2, ensure_ascii=False, default=str))


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report: its heading, its caption, and Plotly's figures by theme."""

    name: str
    title: str
    caption: str
    plots: Mapping[str, Any]

    @classmethod
    def draw(cls, figure: StudyFigure) -> ReportFigure:
        """Draw a figure in both themes."""
        plots = {theme.name: figure.draw(theme).to_plotly_json() for theme in (LIGHT, DARK)}
        return cls(figure.name, figure.title, figure.caption, plots)

    @property
    def height(self) -> int:
        """Pixels that the page reserves, so that it does not move when the figure is drawn."""
        return int(self.plots[LIGHT.name]["layout"]["height"])


@dataclass(frozen=True)
class KeyNumber:
    """A number at the top of the report, with its title and a detail."""

    value: str
    title: str
    detail: str = ""


def _key_numbers(
    store: Store, study: StudyRecord, findings: Findings, trials: Sequence[TrialRecord]
) -> list[KeyNumber]:
    counts, form = findings.counts, MetricFormat(findings.metric)
    words: dict[State, str] = {"pruned": "pruned", "failed": "failed", "running": "unfinished"}
    rest = [f"{counts[state]} {word}" for state, word in words.items() if counts[state]]
    numbers = [
        KeyNumber(
            str(counts["complete"]),
            "trials complete" if counts["complete"] != 1 else "trial complete",
            ", ".join([formatting.plural(len(findings.architectures), "architecture"), *rest]),
        )
    ]
    if findings.best is not None:
        numbers.append(_best(findings.best, findings))
    if findings.knee is not None and findings.knee != findings.best:
        numbers.append(_knee(findings.knee, findings))
    if findings.noise is not None:
        deviation = form.deviation(findings.noise.deviation)
        details = noise_details(findings.noise, findings.metric)
        numbers.append(KeyNumber(deviation, "noise floor", details))
    if chance := chance_and_reason(findings.images, "validation", findings.metric):
        value, reason = chance
        numbers.append(KeyNumber(value, "by guessing", reason))
    trial_seconds = sum(trial.seconds or 0 for trial in trials)
    wall_seconds = store.studies.spent_seconds(study)
    detail = f"{formatting.duration(trial_seconds)} in trials"
    numbers.append(KeyNumber(formatting.duration(wall_seconds or trial_seconds), "time", detail))
    return numbers


def _best(best: ArchitectureSummary, findings: Findings) -> KeyNumber:
    form, bare = MetricFormat(findings.metric), findings.bare
    detail = f"bare backbone {form.value(bare.score, bare.standard_error)}" if bare else ""
    value = form.value(best.score, best.standard_error)
    return KeyNumber(value, f"best {findings.metric.noun}", detail)


def _knee(knee: ArchitectureSummary, findings: Findings) -> KeyNumber:
    cost = findings.costs[0]
    detail = f"trial {knee.number}"
    change = findings.bare and formatting.cost_change(knee.values, findings.bare.values, cost)
    if change is not None:
        detail += f", {change} {cost.title.lower()}"
    value = MetricFormat(findings.metric).value(knee.score, knee.standard_error)
    return KeyNumber(value, "knee of the front", detail)


def _shown_costs(findings: Findings) -> list[Objective]:
    """The costs in tables: those of the study, then the others that were measured."""
    measured = {key for point in findings.architectures for key in point.values}
    measured_costs = (o for o in OBJECTIVES.values() if o.key in measured and o.is_cost)
    return list(dict.fromkeys([*findings.costs, *measured_costs]))


def _environment(environments: Mapping[str, Mapping[str, str]]) -> list[tuple[str, list[str]]]:
    """Every fact of the environments with its values, in the order in which they were recorded."""
    facts: dict[str, list[str]] = {}
    for environment in environments.values():
        for name, value in environment.items():
            values = facts.setdefault(name, [])
            if value not in values:
                values.append(value)
    return list(facts.items())


def _breakable(text: object) -> Markup:
    """HTML in which lines break between insertions, and text in backticks is code."""
    insertion = r'<span class="insertion">\g<0></span>'
    breakable = re.sub(r"\+[a-z][^+\s`]*", insertion, str(escape(str(text))))
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", breakable))


def _script_json(value: Any) -> Markup:
    """JSON that is safe in a script element: it has no `<`, which could end the element."""
    text = json.dumps(value, cls=PlotlyJSONEncoder, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))
