"""The alternatives to attention of a study, read from its database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..analysis.alternatives import AlternativesSummary, SeedModel, analyse_alternatives
from ..analysis.findings import Findings
from ..database.store import Store
from ..records import StudyRecord, TrialRecord
from ..text.alternatives import alternatives_sentence
from ..text.formatting import short_architecture


def read_alternatives(
    store: Store, study: StudyRecord, findings: Findings, searched: Iterable[TrialRecord]
) -> AlternativesSummary | None:
    """What the alternatives of a study show so far; None if none were asked for.

    Args:
        store: the database.
        study: its config holds the alternatives.
        findings: of the search.
        searched: trials of the search; those of the bare backbone are used.
    """
    trials = store.trials.read_alternatives(study)
    return analyse_alternatives(study, searched, trials, _seed_model(findings))


def describe_alternatives(summary: AlternativesSummary, findings: Findings) -> str:
    """What attention gains and what the alternatives gain instead, in words."""
    best = findings.best
    if best is None or best.gain is None:
        return alternatives_sentence(summary, None, 0.0, None)
    name = short_architecture(best.architecture)
    return alternatives_sentence(summary, name, best.gain, best.gain_error)


def _seed_model(findings: Findings) -> SeedModel | None:
    """What the analysis says of the bare backbone; None while it is not complete."""
    bare, noise = findings.bare, findings.noise
    if bare is None:
        return None
    accuracies = dict(zip(bare.seeds, bare.accuracies, strict=True))
    effects = {seed: accuracy - bare.accuracy for seed, accuracy in accuracies.items()}
    return _BareAccuracies(bare.accuracy, effects, noise.deviation if noise else None)


@dataclass(frozen=True)
class _BareAccuracies:
    """See `SeedModel`."""

    bare_accuracy: float
    seed_effects: Mapping[int, float]
    trial_deviation: float | None
