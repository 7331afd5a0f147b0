"""The files of a study's trials: which weights are kept, and what is cleaned up.

The weights of many trials fill a disk: 1,000 of ResNet-18 are 45 GB. The plan of a study says which
to keep. Predictions are small, because a worker leaves out what exceeds their limit, so those of
all complete trials are kept unless the plan keeps none. A file is deleted only after the end of its
trial has been recorded, and only inside the study's own folder.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ...files import is_draft
from ...runners.artifacts.store import StoredFile
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
_OUTPUT = f"{USER_FILES_FOLDER}/{USER_OUTPUT_FILE}"
_TRIAL_FOLDER = re.compile(r"trial-(\d+)")

logger = logging.getLogger(__name__)


class StudyFiles:
    """The files of a study, while this process holds the study's lease.

    What has to be asked of a URL for that is asked in the thread of its store, so that no trial
    waits for it.

    Args:
        run: the study; its plan says which weights to keep.
    """

    def __init__(self, run: StudyRun) -> None:
        self._run = run
        self._artifacts = run.store.artifacts_of(run.record)
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
        study = store.artifact_folders.study_key(record)

        def clean_up_trials() -> None:
            folders: dict[str, dict[str, StoredFile]] = {}
            for path, file in self._artifacts.files(study).items():
                folder, _, name = path.partition("/")
                folders.setdefault(folder, {})[name] = file
            for folder, files in folders.items():
                number = _TRIAL_FOLDER.fullmatch(folder)
                if is_draft(Path(folder)):
                    self._artifacts.delete(f"{study}/{folder}")
                elif number and "" not in files:
                    state = states.get(int(number[1]))
                    self._clean_up_trial(f"{study}/{folder}", files, int(number[1]), state)

        self._artifacts.later(clean_up_trials)
        self._apply_plan()

    def _clean_up_trial(
        self, key: str, files: Mapping[str, StoredFile], number: int, state: str | None
    ) -> None:
        outdated = set() if state == "running" else {*UNTIL_RECORDED}
        if state in ("pruned", "failed"):
            outdated |= {WEIGHTS_FILE, PREDICTIONS_FILE, *_user_files(files)}
        if state == "complete" and self._run.plan.keep_predictions == "none":
            outdated.add(PREDICTIONS_FILE)
        names = {path.partition("/")[0] for path in files}
        outdated = {name for name in outdated if name in names or name in files}
        for name in outdated | {name for name in names if is_draft(Path(name))}:
            self._artifacts.delete(f"{key}/{name}")
        if state == "complete":
            self._add_weights(files, number)

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Delete the checkpoint of a trial whose end is recorded, and weights as planned.

        Drafts are those of workers that were killed while they wrote.
        """
        key = self._key_of(trial.number)
        state = "complete" if trial.state == "complete" else "failed"

        def clean_up_trial() -> None:
            self._clean_up_trial(key, self._artifacts.files(key), trial.number, state)

        self._artifacts.later(clean_up_trial)
        self._unjudged += 1
        plan = self._run.plan
        if plan.keep_weights != "front" or self._unjudged >= UNJUDGED_WEIGHTS:
            self._apply_plan()

    def _key_of(self, number: int) -> str:
        return self._run.store.artifact_folders.trial_key(self._run.record, number)

    def on_study_end(self) -> None:
        """Delete the weights that the plan does not keep, as far as they are left."""
        self._artifacts.await_tasks()
        self._apply_plan()
        self._artifacts.await_tasks()

    def _add_weights(self, files: Mapping[str, StoredFile], number: int) -> None:
        names = [name for name in (WEIGHTS_FILE, *_all_user_files(files)) if name in files]
        size = sum(files[name].size for name in names)
        if WEIGHTS_FILE in files or size > 0:
            self._weights[number] = size

    def _apply_plan(self) -> None:
        self._unjudged = 0
        plan = self._run.plan
        limit = plan.weights_limit_mib * 2**20
        weights = dict(self._weights)  # Another thread may add to it.
        exceeds = sum(weights.values()) > limit
        if not weights or (plan.keep_weights == "all" and not exceeds):
            return
        if plan.keep_weights == "none":
            self._delete_weights(list(weights))
            return
        trials = self._run.store.trials.read(self._run.record)
        searched = [trial.number for trial in trials if trial.number in weights]
        findings = read_findings(self._run.store, self._run.record, trials)
        kept = exported_numbers(findings)
        outdated = [number for number in searched if number not in kept]
        if plan.keep_weights == "front":
            self._delete_weights(outdated)
            return
        distances = distances_from_front(findings)
        outdated.sort(key=lambda number: (-distances.get(number, 0.0), number))
        self._announce_limit()
        excess = sum(weights.values()) - (1 - FREED_FRACTION) * limit
        while excess > 0 and outdated:
            excess -= weights[outdated[0]]
            self._delete_weights([outdated.pop(0)])

    def _delete_weights(self, numbers: Sequence[int]) -> None:
        keys = [self._key_of(number) for number in numbers]

        def delete() -> None:
            for key in keys:
                for name in (WEIGHTS_FILE, *_user_files(self._artifacts.files(key))):
                    self._artifacts.delete(f"{key}/{name}")

        self._artifacts.later(delete)
        for number in numbers:
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


def _user_files(files: Iterable[str]) -> list[str]:
    """What a user's own evaluation has written for a trial, but not what it has printed."""
    return [path for path in _all_user_files(files) if path != _OUTPUT]


def _all_user_files(files: Iterable[str]) -> list[str]:
    return [path for path in files if path.startswith(f"{USER_FILES_FOLDER}/")]
