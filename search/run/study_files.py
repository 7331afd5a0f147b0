"""The files of a study's trials: which weights are kept, and what is cleaned up.

The weights of many trials fill a disk: 1,000 of ResNet-18 are 45 GB. The plan of a study says which
to keep. Predictions are small, because a worker leaves out what exceeds their limit, so those of
all complete trials are kept unless the plan keeps none. A file is deleted only after the end of its
trial has been recorded, and only inside the study's own folder.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ...files import is_draft, remove_path
from ...runners.results import (
    CHECKPOINT_FILE,
    PREDICTIONS_FILE,
    RESULT_FILE,
    USER_FILES_FOLDER,
    USER_OUTPUT_FILE,
    WEIGHTS_FILE,
)
from ...studies.analysis.findings import Findings
from ...studies.analysis.pareto import costing_no_more
from ...studies.outputs.read_findings import read_findings
from ...studies.records import TrialRecord
from ...studies.text.formatting import plural
from .study_run import StudyRun

UNJUDGED_WEIGHTS = 10
"""So many weights of new trials gather before those that are not on the front are deleted."""
FREED_FRACTION = 0.1
"""Fraction of the limit that is freed at once when the weights exceed it."""
UNTIL_RECORDED = (CHECKPOINT_FILE, RESULT_FILE)
"""Files of a trial that are of no use once its end is recorded."""
_TRIAL_FOLDER = re.compile(r"trial-(\d+)")

logger = logging.getLogger(__name__)


class StudyFiles:
    """The folder of a study, while this process holds the study's lease.

    Args:
        run: the study; its plan says which weights to keep.
    """

    def __init__(self, run: StudyRun) -> None:
        self._run = run
        self._weights: dict[int, int] = {}  # Bytes by the number of the trial.
        self._unjudged = 0
        self._limit_announced = False

    def clean_up(self) -> None:
        """Delete what killed processes have left, then the weights that the plan does not keep.

        The weights of a trial that the database does not know are kept: a newer copy of the
        database may know it.
        """
        store, record = self._run.store, self._run.record
        trials = store.trials.read(record) + store.trials.read_outside_search(record)
        states = {trial.number: trial.state for trial in trials}
        folder = store.study_folder(record)
        for path in _entries(folder):
            number = _TRIAL_FOLDER.fullmatch(path.name)
            if is_draft(path):
                _delete(path)
            elif number and path.is_dir() and not path.is_symlink():
                self._clean_up_trial(path, int(number[1]), states.get(int(number[1])))
        self._apply_plan()

    def _clean_up_trial(self, folder: Path, number: int, state: str | None) -> None:
        outdated = set() if state == "running" else {*UNTIL_RECORDED}
        if state in ("pruned", "failed"):
            outdated |= {WEIGHTS_FILE, PREDICTIONS_FILE}
            _delete_user_files(folder)
        if state == "complete" and self._run.plan.keep_predictions == "none":
            outdated.add(PREDICTIONS_FILE)
        for path in _entries(folder):
            if is_draft(path) or path.name in outdated:
                _delete(path)
        if state == "complete":
            self._add_weights(folder, number)
        with suppress(OSError):
            folder.rmdir()  # If it is empty.

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Delete the checkpoint of a trial whose end is recorded, and weights as planned.

        Drafts are those of workers that were killed while they wrote.
        """
        folder = self._run.store.trial_folder(self._run.record, trial.number)
        for path in _entries(folder):
            if is_draft(path) or path.name in UNTIL_RECORDED:
                _delete(path)
        if trial.state == "complete":
            self._add_weights(folder, trial.number)
        else:
            _delete(folder / WEIGHTS_FILE)
            _delete(folder / PREDICTIONS_FILE)
            _delete_user_files(folder)
            with suppress(OSError):
                folder.rmdir()
        self._unjudged += 1
        plan = self._run.plan
        if plan.keep_weights != "front" or self._unjudged >= UNJUDGED_WEIGHTS:
            self._apply_plan()

    def on_study_end(self) -> None:
        """Delete the weights that the plan does not keep, as far as they are left."""
        self._apply_plan()

    def _add_weights(self, folder: Path, number: int) -> None:
        with suppress(OSError):
            self._weights[number] = (folder / WEIGHTS_FILE).stat().st_size
        if size := sum(_size(path) for path in (folder / USER_FILES_FOLDER).rglob("*")):
            self._weights[number] = self._weights.get(number, 0) + size

    def _apply_plan(self) -> None:
        self._unjudged = 0
        plan = self._run.plan
        limit = plan.weights_limit_mib * 2**20
        exceeds = sum(self._weights.values()) > limit
        if not self._weights or (plan.keep_weights == "all" and not exceeds):
            return
        if plan.keep_weights == "none":
            self._delete_weights(list(self._weights))
            return
        trials = self._run.store.trials.read(self._run.record)
        searched = [trial.number for trial in trials if trial.number in self._weights]
        findings = read_findings(self._run.store, self._run.record, trials)
        kept = exported_numbers(findings)
        outdated = [number for number in searched if number not in kept]
        if plan.keep_weights == "front":
            self._delete_weights(outdated)
            return
        distances = distances_from_front(findings)
        outdated.sort(key=lambda number: (-distances.get(number, 0.0), number))
        self._announce_limit()
        excess = sum(self._weights.values()) - (1 - FREED_FRACTION) * limit
        while excess > 0 and outdated:
            excess -= self._weights[outdated[0]]
            self._delete_weights([outdated.pop(0)])

    def _delete_weights(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            folder = self._run.store.trial_folder(self._run.record, number)
            _delete(folder / WEIGHTS_FILE)
            _delete_user_files(folder)
            with suppress(OSError):
                folder.rmdir()
            del self._weights[number]

    def _announce_limit(self) -> None:
        if not self._limit_announced:
            self._limit_announced = True
            logger.warning(
                "The weights of %s fill the %.3g GiB of --max-weights-size; those of the trials "
                "farthest from the front are deleted from now on.",
                plural(len(self._weights), "trial"),
                self._run.plan.weights_limit_mib / 2**10,
            )


def exported_numbers(findings: Findings) -> set[int]:
    """The trials that `export` picks by name: of the front, the best, the knee, the bare backbone.

    Each architecture has one, its first complete trial, which also identifies it in tables.
    """
    summaries = [*findings.front, findings.best, findings.knee, findings.bare]
    return {summary.number for summary in summaries if summary is not None}


def distances_from_front(findings: Findings) -> dict[int, float]:
    """How far below the front each trial's architecture is, by number: a fraction.

    The distance is the accuracy that the best architecture of the front has more at no higher cost.
    """
    costs = [o.key for o in findings.objectives if o.is_cost]
    distances: dict[int, float] = {}
    for summary in findings.architectures:
        better = [f.score for f in costing_no_more(findings.front, summary, costs)]
        distance = max(0.0, max(better, default=summary.score) - summary.score)
        distances |= dict.fromkeys(summary.numbers, distance)
    return distances


def _entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing if it cannot be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _delete(path: Path) -> None:
    """Delete a file or folder. What cannot be deleted costs space, and no result."""
    with suppress(OSError):
        remove_path(path)


def _delete_user_files(folder: Path) -> None:
    """Delete what a user's own evaluation has written for a trial, but not what it has printed."""
    files = folder / USER_FILES_FOLDER
    if files.is_symlink():
        return
    for path in _entries(files):
        if path.name != USER_OUTPUT_FILE:
            _delete(path)
    with suppress(OSError):
        files.rmdir()


def _size(path: Path) -> int:
    """The bytes of a file; 0 for anything else."""
    with suppress(OSError):
        if path.is_file() and not path.is_symlink():
            return path.stat().st_size
    return 0
