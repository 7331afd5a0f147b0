"""Users' own attentions in a study: which are not installed here, and what cannot be done then.

A study can be viewed without its plug-ins. Building one of its networks needs them.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import AttentuneError, StudyError
from ..spaces.attentions.plugins.register import REMEDY, describe_missing
from ..spaces.attentions.registry import offered
from .records import StudyRecord, TrialRecord


def missing(study: StudyRecord, attentions: Iterable[str]) -> dict[str, str]:
    """The attentions that are not installed here, with their origins as the study recorded them.

    Raises:
        AttentuneError: a module that ATTENTUNE_PLUGINS names cannot be imported.
    """
    origins = study.config.plugins
    return {name: origins.get(name, "") for name in dict.fromkeys(attentions) if not offered(name)}


def missing_note(study: StudyRecord, trials: Iterable[TrialRecord]) -> str:
    """One sentence to show beside these trials; empty if no attention is missing."""
    try:
        absent = missing(study, _attentions(trials))
    except AttentuneError as error:
        return f"{error} Everything is shown as it was recorded."
    if not absent:
        return ""
    return (
        f"This study uses {describe_missing(absent)}: everything is shown as it was recorded, but "
        f"to go on with the study or to export such a trial, {REMEDY}."
    )


def require_attentions(study: StudyRecord, who: str, attentions: Iterable[str]) -> None:
    """Check that attentions are installed.

    Args:
        study: where they are used.
        who: what needs them, for the message: a trial, or the study.
        attentions: their names.

    Raises:
        StudyError: one is not installed here.
    """
    if absent := missing(study, attentions):
        raise StudyError(f"{who} needs {describe_missing(absent)}; {REMEDY}.")


def _attentions(trials: Iterable[TrialRecord]) -> list[str]:
    texts = {trial.architecture: trial for trial in trials}
    return [i.attention for trial in texts.values() for i in trial.parsed.insertions]
