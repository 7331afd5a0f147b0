"""The figures of a study, in the order of the report: names, captions, and how to draw them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from plotly.graph_objects import Figure as Figure

from ..analysis.architecture_table import ArchitectureTable
from ..analysis.attention_effects import analyse_effects
from ..analysis.confirmation import Confirmation
from ..analysis.findings import Findings
from ..analysis.hypervolume import analyse_hypervolume
from ..analysis.trial_table import TrialTable
from ..estimator.study_model import StudyModel
from ..figures.confirmation import confirmation_figure
from ..figures.expected_gain import expected_gain_figure
from ..figures.heatmap import heatmap_figure
from ..figures.hypervolume import hypervolume_figure
from ..figures.importances import importances_figure
from ..figures.learning_curves import learning_curves_figure
from ..figures.main_effects import main_effects_figure
from ..figures.pareto import pareto_figure
from ..figures.themes import LIGHT, Theme
from ..objectives import Objective
from ..records import EpochRecord, TrialRecord
from ..stored_config import StoredConfig
from ..text import captions, formatting
from ..text.expected_gain import gain_threshold


@dataclass(frozen=True)
class StudyFigure:
    """A figure that is not drawn yet.

    Attributes:
        name: its key in `attentune.open_study(…).figures()` and its element's id in the report.
        title, caption: its heading, and what it shows.
        plot: draws it in a theme.
    """

    name: str
    title: str
    caption: str
    plot: Callable[[Theme], Figure]

    def draw(self, theme: Theme = LIGHT) -> Figure:
        """The figure in a theme, the light one by default."""
        return self.plot(theme)


def study_figures(
    findings: Findings,
    trials: Sequence[TrialRecord],
    epochs: Sequence[EpochRecord],
    config: StoredConfig,
    model: StudyModel,
    confirmation: Confirmation | None = None,
) -> list[StudyFigure]:
    """The figures that a study has, none of them drawn.

    Args:
        findings: what was concluded from the trials.
        trials: all trials of the search.
        epochs: all epochs of these trials, for the learning curves.
        config: of the study.
        model: of the study, with its epochs.
        confirmation: the results of confirming trials; None leaves their figure out.
    """
    rows = (searched := TrialTable.of(trials)).rows
    table = ArchitectureTable.of(searched, model)
    effects = analyse_effects(table, rows)
    history = analyse_hypervolume(table, rows, findings.objectives, config)
    metric = findings.metric
    return [
        *([] if confirmation is None else [_confirmation(confirmation)]),
        *(_pareto(findings, cost) for cost in findings.costs),
        StudyFigure(
            "heatmap",
            "Effect by attention and stage",
            captions.EFFECTS_BY_STAGE,
            partial(heatmap_figure, effects.by_stage, metric),
        ),
        StudyFigure(
            "main-effects",
            "Main effects",
            captions.MAIN_EFFECTS,
            partial(main_effects_figure, effects.main, metric),
        ),
        StudyFigure(
            "importances",
            "Importance of each choice",
            captions.IMPORTANCES,
            partial(importances_figure, effects.importances),
        ),
        StudyFigure(
            "hypervolume",
            "Hypervolume",
            captions.HYPERVOLUME,
            partial(hypervolume_figure, history),
        ),
        StudyFigure(
            "expected-gain",
            "Expected gain of more trials",
            captions.EXPECTED_GAIN,
            partial(
                expected_gain_figure,
                config.expected_gains,
                metric,
                threshold=gain_threshold(config, findings.metric),
            ),
        ),
        StudyFigure(
            "learning-curves",
            "Learning curves",
            captions.LEARNING_CURVES,
            partial(learning_curves_figure, findings, trials, epochs),
        ),
    ]


def _confirmation(confirmation: Confirmation) -> StudyFigure:
    epochs = formatting.plural(confirmation.epochs, "epoch")
    return StudyFigure(
        "confirmation",
        "Confirmation",
        f"{captions.CONFIRMATION} After {epochs}.",
        partial(confirmation_figure, confirmation),
    )


def _pareto(findings: Findings, cost: Objective) -> StudyFigure:
    return StudyFigure(
        f"pareto-{cost.key}",
        f"{findings.metric.heading} against {cost.title.lower()}",
        f"{captions.MARKERS} Rings mark the Pareto front. Colours show the main attention.",
        partial(pareto_figure, findings, cost),
    )
