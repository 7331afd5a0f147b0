"""The alternatives to attention of a study, read from its database."""

from __future__ import annotations

from collections.abc import Iterable

from ..analysis.alternatives import AlternativesSummary, analyse_alternatives
from ..analysis.findings import Findings
from ..analysis.recommendation import recommend
from ..database.store import Store
from ..records import StudyRecord, TrialRecord
from ..text.alternatives import alternatives_sentence


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
    return analyse_alternatives(study, findings, searched, trials)


def describe_alternatives(summary: AlternativesSummary, findings: Findings) -> str:
    """What attention gains and what the alternatives gain instead, in words.

    Attention stands for the recommended architecture, or for the best one if the recommendation is
    to keep the bare backbone; then the alternatives are compared with that.
    """
    recommendation = recommend(findings)
    if recommendation is None:
        return alternatives_sentence(summary, None)
    keeps_bare = recommendation.keeps_bare
    attention = recommendation.rival if keeps_bare else recommendation.pick
    return alternatives_sentence(summary, attention, keeps_bare=keeps_bare)
