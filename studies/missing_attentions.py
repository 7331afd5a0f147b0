"""Which plug-in attentions of a study are not installed here.

A study can be viewed without its plug-ins. Building one of its networks needs them.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import AttentuneError, StudyError
from ..spaces.attentions.plugins.register import REMEDY, describe_missing
from ..spaces.attentions.registry import is_available
from .records import StudyRecord, TrialRecord


def find_missing(study: StudyRecord, attentions: Iterable[str]) -> dict[str, str]:
    """The attentions that are not installed here, with their origins as the study recorded them.

    Raises:
        AttentuneError: a module that ATTENTUNE_PLUGINS names cannot be imported.
    """
    origins = study.config.plugins
    return {
        name: origins.get(name, "") for name in dict.fromkeys(attentions) if not is_available(name)
    }


def missing_note(study: StudyRecord, trials: Iterable[TrialRecord]) -> str | None:
    """A note to show beside these trials; None if no attention is missing."""
    try:
        absent = find_missing(study, _attentions(trials))
    except AttentuneError as error:
        return f"{error} Everything is shown as it was recorded."
    if not absent:
        return None
    return (
        f"This study uses {describe_missing(absent)}: everything is shown as it was recorded, but "
        f"to continue the study or to export such a trial, {REMEDY}."
    )


def require_attentions(study: StudyRecord, subject: str, attentions: Iterable[str]) -> None:
    """Check that attentions are installed.

    Args:
        study: where they are used.
        subject: what needs them, as the message calls it, such as `the study 'mine'`.
        attentions: their names.

    Raises:
        StudyError: one is not installed here.
    """
    if absent := find_missing(study, attentions):
        raise StudyError(f"{subject} needs {describe_missing(absent)}; {REMEDY}.")


def _attentions(trials: Iterable[TrialRecord]) -> list[str]:
    texts = {trial.architecture: trial for trial in trials}
    return [i.attention for trial in texts.values() for i in trial.parsed.insertions]
