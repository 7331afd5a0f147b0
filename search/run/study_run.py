"""A study to run: its record in the database, its configuration and its plan."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...named_objects import add_import_folder
from ...spaces.backbones.weights_digest import check_digest
from ...spaces.search_space.space import NONE
from ...studies.config import RunPlan, StudyConfig, validated
from ...studies.database.store import Store
from ...studies.missing_attentions import require_attentions
from ...studies.records import StudyRecord

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyRun:
    """A study with everything that is needed to run it.

    Attributes:
        store: the database.
        record: the study in the database.
        config: what its results depend on; it never changes.
        plan: how long to run it, and on what.
        data_key: changes with the prepared images; None before they are prepared.
    """

    store: Store
    record: StudyRecord
    config: StudyConfig
    plan: RunPlan
    data_key: str | None = None

    @classmethod
    def load(cls, store: Store, record: StudyRecord) -> StudyRun:
        """Parse the configuration and the plan that are stored with the study.

        Raises:
            StudyError: another version wrote them in another form, or an attention is not
                installed.
        """
        attentions = inserted_attentions(record.config.attentions)
        require_attentions(record, f"the study {record.name!r}", attentions)
        return cls(store, record, record.config.study, record.config.plan)

    def check_initial_weights(self) -> None:
        """Raise an AttentuneError if the file of the study's initial weights has changed."""
        if (file := self.config.recipe.weights_file) is not None:
            check_digest(file, self.config.recipe.init_digest)

    def check_evaluation(self) -> None:
        """Check that a user's own evaluation is there; log a warning if its code has changed.

        Raises:
            UsageError: it cannot be imported.
        """
        evaluation = self.config.evaluation
        if evaluation is None:
            return
        add_import_folder(Path(evaluation.folder))
        if evaluation.kind != "function":
            return
        from ..setup.own_evaluation import evaluation_digest  # Imports torch.

        if evaluation_digest(evaluation) != evaluation.digest:
            logger.warning(
                "The file of %s has changed since the study began; if the change concerns its "
                "results, trials before and after it do not compare.",
                evaluation.target,
            )

    def with_plan(self, **changes: Any) -> StudyRun:
        """The study with a changed plan, which is not stored; fields that are None do not change.

        Raises:
            UsageError: a value is out of range.
        """
        fields = {name: value for name, value in changes.items() if value is not None}
        plan = validated(RunPlan, "resume", **{**self.plan.model_dump(), **fields})
        return replace(self, plan=plan)

    def store_plan(self) -> StudyRun:
        """Store the fields of the plan that differ from the stored ones, and no others."""
        stored = self.record.config.plan.model_dump(mode="json")
        plan = self.plan.model_dump(mode="json")
        changes = {name: value for name, value in plan.items() if value != stored[name]}
        if not changes:
            return self

        def change(config: dict[str, Any]) -> dict[str, Any]:
            return {**config, "plan": {**config["plan"], **changes}}

        return replace(self, record=self.store.studies.change_config(self.record, change))


def stored_settings(config: StudyConfig, plan: RunPlan) -> dict[str, Any]:
    """The part of a study's stored configuration that `StudyRun.load` reads."""
    return {"study": config.model_dump(mode="json"), "plan": plan.model_dump(mode="json")}


def inserted_attentions(choices: Iterable[str]) -> list[str]:
    """The choices of a space without "no attention"."""
    return [name for name in choices if name != NONE]
