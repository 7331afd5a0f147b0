"""A live study: everything that the pages of the dashboard show of it.

live_trials          rows in memory, kept up to date
live_analysis        what follows from the rows, computed once per version
live_choices         what each architecture has chosen
background_analysis  what follows from the rows and takes seconds to compute
live_confirmation    what the confirming trials show
live_alternatives    what the alternatives to attention show
study_records        trials in full, from the database
live_predictions     what follows from the predictions of trials
inspected_trials     attention maps
live_marks           stars, tags and notes of trials
"""

from __future__ import annotations

from dataclasses import replace

from ..analysis.findings import Findings
from ..database.store import Store
from ..outputs.judged_images import read_study_warnings, read_validation_images
from ..records import StudyRecord
from ..text.chance import chance_and_reason
from ..text.expected_gain import expected_gain_sentence
from ..text.next_step import NextStep, StudyStatus, next_steps
from ..text.stopping import stopping_sentence
from ..text.summary import caveat, summary_sentence
from .background import BackgroundProcess
from .background_analysis import BackgroundAnalysis
from .cache import VersionedCache
from .inspected_trials import InspectedTrials
from .live_alternatives import LiveAlternatives
from .live_analysis import LiveAnalysis
from .live_choices import LiveChoices
from .live_confirmation import LiveConfirmation
from .live_marks import LiveMarks
from .live_predictions import LivePredictions
from .live_trials import LiveTrials
from .study_records import StudyRecords


class StudyState:
    """One live study. All its parts may be used from any thread.

    Attributes:
        store: the database.
        study: the record of the study, as it was when the state was made.
    """

    def __init__(
        self, store: Store, study: StudyRecord, process: BackgroundProcess | None = None
    ) -> None:
        """Read the study.

        Args:
            store: the database.
            study: the study.
            process: runs long computations; None: a new process.
        """
        self.store, self.study = store, study
        self._cache = cache = VersionedCache()
        self.trials = LiveTrials(store, study, cache)
        self.records = StudyRecords(self.trials, cache)
        self.choices = LiveChoices(self.trials, cache)
        self.marks = LiveMarks(store, study, cache)
        self.analysis = LiveAnalysis(self.trials, self.choices, self.marks, cache)
        self.background = BackgroundAnalysis(
            self.trials, self.analysis, cache, process or BackgroundProcess()
        )
        self.confirmation = LiveConfirmation(self.trials, self.analysis, cache)
        self.predictions = LivePredictions(self.trials, self.records, cache)
        self.alternatives = LiveAlternatives(self.trials, self.analysis, cache)
        self.inspected = InspectedTrials(self.trials, cache)
        self.refresh()

    def refresh(self) -> str:
        """Read what is new; return a version that changes when there is something new to show."""
        with self._cache.lock:
            if self.trials.refresh():
                self.marks.refresh()
                self.analysis.precompute()
            return self._cache.version

    def expected_gain(self) -> str | None:
        """What more trials are expected to add, in one sentence; None without a forecast."""
        return expected_gain_sentence(self.records.config, self.analysis.findings())

    def stopping(self) -> str:
        """Whether more trials are worth their time, in words."""
        return stopping_sentence(self.records.config, self.analysis.findings())

    def next_steps(self) -> list[NextStep]:
        """The commands that help next."""
        status = StudyStatus(
            self.study.name,
            self.store.name,
            self.records.config,
            self._findings(),
            self.confirmation.value,
            self.trials.has_coordinator,
            self.records.spent_seconds(),
        )
        return list(next_steps(status))

    def summary(self) -> tuple[str, str | None]:
        """The summary of the study in one sentence, and its caveat."""
        findings, confirmation = self._findings(), self.confirmation.value
        sentence = summary_sentence(self.study, findings, confirmation)
        return sentence, caveat(findings, confirmation)

    def chance(self) -> tuple[str, str] | None:
        """What guessing reaches on the validation images, and how; None if that is not known."""
        findings = self._findings()
        return chance_and_reason(findings.images, "validation", findings.metric)

    def warnings(self) -> tuple[str, ...]:
        """What has to be known before believing any number of the study."""
        return self._cache.get("warnings", self._warnings, depends_on="any")

    def _warnings(self) -> tuple[str, ...]:
        study = replace(self.study, config=self.records.config)  # `resume` may change the plan.
        return read_study_warnings(self.store, study, self._findings())

    def _findings(self) -> Findings:
        """The findings, with what is known about the validation images."""
        findings = self.analysis.findings()
        images = self._cache.get(
            "images", lambda: read_validation_images(self.store, self.study, findings)
        )
        return replace(findings, images=images)
