"""People's own attention in a study: what of it is missing here, and who cannot do without.

Looking at a study takes its texts alone. Building one of its networks takes the class.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import AttentuneError, StudyError
from ..spaces.attentions.plugins.register import REMEDY, describe_missing
from ..spaces.attentions.registry import offered
from .records import StudyRecord, TrialRecord


def missing(study: StudyRecord, attentions: Iterable[str]) -> dict[str, str]:
    """Those that are not here, with their origins as the study knew them, or empty.

    AttentuneError if a module that ATTENTUNE_PLUGINS names cannot be imported.
    """
    origins = study.config.plugins
    return {name: origins.get(name, "") for name in dict.fromkeys(attentions) if not offered(name)}


def missing_note(study: StudyRecord, trials: Iterable[TrialRecord]) -> str:
    """One sentence for whoever looks at these trials; empty if nothing is missing."""
    try:
        found = missing(study, _attentions(trials))
    except AttentuneError as error:
        return f"{error} Everything is shown as it was recorded."
    if not found:
        return ""
    return (
        f"This study uses {describe_missing(found)}: everything is shown as it was recorded, but "
        f"to go on with the study or to export such a trial, {REMEDY}."
    )


def require_attentions(study: StudyRecord, who: str, attentions: Iterable[str]) -> None:
    """StudyError if `who` (a trial, the study) needs an attention that is not here."""
    if found := missing(study, attentions):
        raise StudyError(f"{who} needs {describe_missing(found)}; {REMEDY}.")


def _attentions(trials: Iterable[TrialRecord]) -> list[str]:
    texts = {trial.architecture: trial for trial in trials}
    return [i.attention for trial in texts.values() for i in trial.parsed.insertions]
