"""When a study stops because of failures, and the sentences that say so."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from ...errors import InterruptedWaitError, MachineError, StoreError, StudyError, TrialError
from ...machine_faults import machine_fault
from ...studies.records import TrialRecord
from .next_command import resume_command

MAX_FAILURES_AT_START = 3
"""If this many trials fail before any has ended in another way, the study stops."""
MAX_FAILURES_IN_A_ROW = 10
"""If this many trials of one run fail one after the other, the study stops."""


class FailureCounter:
    """Counts the trials of a run that fail one after the other.

    Args:
        study: the name of the study.
        verb: the command that continues it, `resume` or `confirm`.
        earlier: the number of trials that had ended before this run.
        total: the number of trials that the plan asks for.
    """

    def __init__(self, study: str, verb: str, earlier: int, total: int) -> None:
        self._study, self._verb, self._total = study, verb, total
        self._ended, self._in_a_row = earlier, 0

    def record_end(self, record: TrialRecord) -> None:
        """Count a trial that has ended.

        Raises:
            TrialError: so many trials have failed that the next ones would fail too.
        """
        self._ended += 1
        failure = record.failure
        if failure is None:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        all_failed = self._ended == self._in_a_row
        if self._in_a_row == MAX_FAILURES_IN_A_ROW:
            failed = f"{self._in_a_row} trials in a row have failed"
        elif all_failed and self._in_a_row == MAX_FAILURES_AT_START:
            failed = f"the first {self._in_a_row} trials all failed"
        else:
            return
        command = continue_command(self._study, self._verb)
        if self._verb == "resume":
            command = resume_command(self._study, self._total, self._ended)
        raise TrialError(
            failure.kind,
            f"{failed}, the last with: {as_sentence(failure.message)} Fix the cause, then "
            f"continue with `{command}`.",
        )


def as_machine_error(
    error: Exception, study: str, verb: str, folders: Sequence[Path] = ()
) -> MachineError | None:
    """The error that stops a study after its running epochs; None if it is no fault of the machine.

    Args:
        error: raised while the coordinator worked, for example while it wrote to the database.
        study: the name of the study.
        verb: the command that continues it, `resume` or `confirm`.
        folders: folders of the study, whose absence is a fault of the machine.
    """
    stated = isinstance(error, MachineError | StoreError) and not isinstance(error, StudyError)
    reason = str(error) if stated else machine_fault(error, folders)
    if reason is None:
        return None
    fault = MachineError(
        f"{as_sentence(reason)} The study has stopped, and its unfinished trials can be resumed. "
        f"Remove the cause, then continue with `{continue_command(study, verb)}`."
    )
    if isinstance(error, InterruptedWaitError):
        fault.exit_code = error.exit_code
    return fault


def continue_command(study: str, verb: str) -> str:
    """The command that continues a study: `attentune VERB STUDY`."""
    return f"attentune {verb} {shlex.quote(study)}"


def as_sentence(text: str) -> str:
    """A text with a full stop at its end, unless it ends like a sentence already."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
