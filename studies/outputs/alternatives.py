"""The alternatives to attention of a study, read from its database."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping

from ..analysis.alternatives import AlternativesSummary, analyse_alternatives
from ..analysis.confirmation import Confirmation
from ..analysis.confirmed_alternatives import ConfirmedAlternative, analyse_confirmed_alternatives
from ..analysis.findings import Findings
from ..analysis.recommendation import recommend
from ..database.store import Store
from ..records import StudyRecord, TrialRecord
from ..text.alternatives import alternatives_sentence
from .judged_images import KnownImages, read_judged_images


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
        return alternatives_sentence(summary, None, at_chance=findings.at_chance)
    keeps_bare = recommendation.keeps_bare or recommendation.is_saving
    attention = recommendation.rival if keeps_bare else recommendation.pick
    return alternatives_sentence(summary, attention, keeps_bare=keeps_bare)


def read_confirmed_alternatives(
    store: Store,
    study: StudyRecord,
    confirmation: Confirmation | None,
    known: MutableMapping[str | None, KnownImages] | None = None,
) -> tuple[ConfirmedAlternative, ...]:
    """What the confirming trials of alternatives show; empty without complete ones.

    Args:
        store: the database.
        study: its config holds the alternatives and the plan of the confirmation.
        confirmation: of its architectures; None if none was begun.
        known: what earlier calls have read, by the kind of the alternative, and by None of
            architectures; what is read now is added.
    """
    known = {} if known is None else known
    trials = store.trials.read_alternatives(study, confirming=True)
    plan = study.config.confirmation
    if confirmation is None or plan is None or not trials:
        return ()
    searched = store.trials.read(study, confirming=True)
    comparable = [trial for trial in searched if plan.split_of(trial.seed) == 0]
    judged = read_judged_images(store, study, comparable, known.setdefault(None, {}))
    for kind in {trial.alternative for trial in trials}:
        # Larger images are other files of the same photographs, so they are read apart.
        kind_trials = [trial for trial in trials if trial.alternative == kind]
        judged |= read_judged_images(store, study, kind_trials, known.setdefault(kind, {}))
    return analyse_confirmed_alternatives(study, confirmation, trials, judged)
