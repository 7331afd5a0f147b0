"""A study as one offline HTML file: the answer, the figures, and what they rest on.

Everything is inside the file, Plotly's script included, and the page forbids itself to load
anything. Figures are drawn for a light and a dark page; the browser picks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import plotly.graph_objects as go
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from ... import __version__
from ...errors import StoreError
from ...files import atomic_write
from ..analysis.analyse import analyse, failures_by_kind
from ..analysis.confirmation import Confirmation, confirmed
from ..analysis.findings import ArchitectureSummary, Findings
from ..analysis.hypervolume import hypervolume_history
from ..analysis.importance import importances
from ..analysis.main_effects import main_effects
from ..analysis.trial_table import TrialTable
from ..database.store import Store
from ..figures.confirmation import confirmation_figure
from ..figures.heatmap import heatmap_figure
from ..figures.hypervolume import hypervolume_figure
from ..figures.importances import importances_figure
from ..figures.learning_curves import learning_curves_figure
from ..figures.main_effects import main_effects_figure
from ..figures.pareto import pareto_figure
from ..figures.themes import DARK, LIGHT, Theme
from ..missing_attentions import missing_note
from ..objectives import OBJECTIVES, Objective
from ..records import StudyRecord, TrialRecord
from ..text import formatting
from ..text.confirmation import conclusion, rank_warning
from ..text.summary import caveat, noise_details, summary_sentence

MANY_TRIALS, MANY_ROWS = 1000, 60
"""The tables of all trials and of the front stop there; the figures know them all."""


def write_report(store: Store, study: StudyRecord | str, path: str | Path) -> Path:
    """Write the report, all of it or nothing; the path.

    StoreError if the file cannot be written.
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
    """The report's HTML."""
    trials = store.trials.read(study)
    findings = analyse(study, trials)
    confirmation = confirmed(study, findings, store.trials.read(study, confirming=True))
    figures = _figures(findings, trials, store, study, confirmation)
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.globals["formatting"] = formatting
    templates.filters["breakable"] = _breakable
    return templates.get_template("report.html").render(
        study=study,
        findings=findings,
        trials=trials[:MANY_TRIALS],
        many_rows=MANY_ROWS,
        omitted=max(0, len(trials) - MANY_TRIALS),
        summary=summary_sentence(study, findings),
        caveat=caveat(findings),
        conclusion=confirmation and conclusion(confirmation),
        rank_warning=confirmation and rank_warning(confirmation),
        missing=missing_note(study, trials),
        tiles=_tiles(store, study, findings, trials),
        figures=figures,
        costs=_shown_costs(findings),
        failures=failures_by_kind(trials),
        rejections=store.trials.read_rejections(study),
        environment=_environment(store.trials.read_environments(study)),
        command=study.config.command,
        config=json.dumps(study.config.json, indent=2, ensure_ascii=False, default=str),
        version=__version__,
        written=datetime.now(UTC),
        plotly=Markup(get_plotlyjs()),
        drawings=_script_json({figure.name: figure.drawings for figure in figures}),
    )


@dataclass(frozen=True)
class Drawing:
    """A figure of the page: its heading, a caption, and what Plotly draws, by theme."""

    name: str
    title: str
    caption: str
    drawings: Mapping[str, Any]

    @property
    def height(self) -> int:
        """In pixels, so that the page keeps the place before and while it is drawn."""
        return int(self.drawings[LIGHT.name]["layout"]["height"])


@dataclass(frozen=True)
class Tile:
    """One key number."""

    value: str
    title: str
    detail: str = ""


def _figures(
    findings: Findings,
    trials: Sequence[TrialRecord],
    store: Store,
    study: StudyRecord,
    confirmation: Confirmation | None,
) -> list[Drawing]:
    epochs = store.epochs.read(study)
    stages = len(findings.table.stages)
    tradeoffs = [
        _drawing(
            f"tradeoff-{cost.key}",
            f"Accuracy against {cost.title.lower()}",
            "One marker is one architecture, the mean over its seeds with its standard error. "
            "Rings mark the Pareto front; the colour is the attention that most stages have.",
            partial(pareto_figure, findings, cost),
        )
        for cost in findings.costs
    ]
    forest = []
    if confirmation is not None:
        caption = (
            f"Gains after {formatting.plural(confirmation.epochs, 'epoch')} with fresh seeds, "
            "judged once on the test split, with 95 % intervals. Filled: the difference is "
            "significant after the correction for multiple comparisons."
        )
        draw = partial(confirmation_figure, confirmation)
        forest = [_drawing("confirmation", "Confirmation", caption, draw)]
    return [
        *forest,
        *tradeoffs,
        _drawing(
            "heatmap",
            "Which attention, in which stage",
            "Mean accuracy gained over the bare backbone in percentage points, with standard error "
            "and number of architectures. They differ elsewhere too, so a cell is an average over "
            "company, no effect by itself; hatched: never tried.",
            partial(heatmap_figure, findings.table),
        ),
        _drawing(
            "effects",
            "What each choice is worth",
            "Accuracy gained per stage over leaving it alone, everything else equal, by a linear "
            "model of all architectures, with 95 % intervals. Open: may be nothing.",
            partial(main_effects_figure, main_effects(findings.points, stages)),
        ),
        _drawing(
            "importance",
            "Which stage matters",
            "How much of the accuracy's variation the attention of each stage explains (fANOVA).",
            partial(importances_figure, importances(findings.points, stages)),
        ),
        _drawing(
            "course",
            "Progress of the search",
            "Hypervolume of the front as training went on, in parts of the box between the best "
            "and the worst that the study has seen.",
            partial(
                hypervolume_figure,
                hypervolume_history(TrialTable.of(trials).rows, findings.objectives),
            ),
        ),
        _drawing(
            "curves",
            "Learning curves",
            "Validation accuracy after every epoch.",
            partial(learning_curves_figure, findings, trials, epochs),
        ),
    ]


def _drawing(name: str, title: str, caption: str, draw: Callable[[Theme], go.Figure]) -> Drawing:
    drawings = {theme.name: draw(theme).to_plotly_json() for theme in (LIGHT, DARK)}
    return Drawing(name, title, caption, drawings)


def _tiles(
    store: Store, study: StudyRecord, findings: Findings, trials: Sequence[TrialRecord]
) -> list[Tile]:
    counts = findings.counts
    rest = [
        f"{counts[state]} {state}" for state in ("pruned", "failed", "running") if counts[state]
    ]
    tiles = [
        Tile(
            str(counts["complete"]),
            "trials complete" if counts["complete"] != 1 else "trial complete",
            ", ".join([formatting.plural(len(findings.points), "architecture"), *rest]),
        )
    ]
    if findings.best is not None:
        tiles.append(_accuracy_tile(findings.best, findings.bare))
    if findings.knee is not None and findings.knee != findings.best:
        tiles.append(_knee_tile(findings.knee, findings))
    if findings.noise is not None:
        deviation = f"{formatting.points(findings.noise.deviation, signed=False)} points"
        tiles.append(Tile(deviation, "noise floor", noise_details(findings.noise)))
    else:
        tiles.append(Tile("unknown", "noise floor", "no architecture has two seeds yet"))
    busy = sum(trial.seconds or 0 for trial in trials)
    wall = store.studies.spent_seconds(study)
    tiles.append(
        Tile(formatting.duration(wall or busy), "time", f"{formatting.duration(busy)} in trials")
    )
    return tiles


def _accuracy_tile(best: ArchitectureSummary, bare: ArchitectureSummary | None) -> Tile:
    value = formatting.percent(best.accuracy, best.standard_error)
    detail = (
        f"bare backbone {formatting.percent(bare.accuracy, bare.standard_error)}" if bare else ""
    )
    return Tile(value, "best accuracy", detail)


def _knee_tile(knee: ArchitectureSummary, findings: Findings) -> Tile:
    cost = findings.costs[0]
    detail = f"trial {knee.number}"
    if findings.bare and cost.key in knee.values and cost.key in findings.bare.values:
        more = formatting.relative_change(knee.values[cost.key], findings.bare.values[cost.key])
        detail += f", {more} {cost.title.lower()}"
    value = formatting.percent(knee.accuracy, knee.standard_error)
    return Tile(value, "knee: best compromise", detail)


def _shown_costs(findings: Findings) -> list[Objective]:
    """The costs that tables show: the study's own, then whatever was measured."""
    measured = {key for point in findings.points for key in point.values}
    rest = (o for o in OBJECTIVES.values() if o.key in measured and o.key != "accuracy")
    return list(dict.fromkeys([*findings.costs, *rest]))


def _environment(environments: Mapping[str, Mapping[str, str]]) -> list[tuple[str, list[str]]]:
    """Every fact with its different values, in the order in which workers stated them."""
    facts: dict[str, list[str]] = {}
    for environment in environments.values():
        for name, value in environment.items():
            values = facts.setdefault(name, [])
            if value not in values:
                values.append(value)
    return list(facts.items())


def _breakable(text: object) -> Markup:
    """Text in which an architecture may break between its insertions, and `code` is code."""
    part = r'<span class="part">\g<0></span>'
    broken = re.sub(r"\+[a-z][^+\s`]*", part, str(escape(str(text))))
    return Markup(re.sub(r"`([^`]*)`", r"<code>\1</code>", broken))


def _script_json(value: Any) -> Markup:
    """JSON that can stand in a script element: no `<` can end it early."""
    text = json.dumps(value, cls=PlotlyJSONEncoder, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028"))
