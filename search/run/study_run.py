"""A study that is to be run: where it is kept, what it is, and how far to run it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from ...spaces.search_space.space import NONE
from ...studies.config import RunPlan, StudyConfig, validated
from ...studies.database.store import Store
from ...studies.missing_attentions import require_attentions
from ...studies.records import StudyRecord


@dataclass(frozen=True)
class StudyRun:
    """A study, and what running it takes.

    Attributes:
        store, record: where it is kept.
        config: what its results depend on; it never changes.
        plan: how far to run it, and with what.
    """

    store: Store
    record: StudyRecord
    config: StudyConfig
    plan: RunPlan

    @classmethod
    def load(cls, store: Store, record: StudyRecord) -> StudyRun:
        """Read the configuration and the plan that are kept with the study.

        Raises:
            StudyError: another version wrote something else, or an attention is not installed.
        """
        attentions = inserted_attentions(record.config.attentions)
        require_attentions(record, f"the study {record.name!r}", attentions)
        return cls(store, record, record.config.study, record.config.plan)

    def with_plan(self, **changes: Any) -> StudyRun:
        """The same study with another plan, which is stored; what is None stays as it was.

        Raises:
            UsageError: a value is out of range.
        """
        fields = {name: value for name, value in changes.items() if value is not None}
        plan = validated(RunPlan, "resume", **{**self.plan.model_dump(), **fields})
        config = {**self.record.config.json, **stored_settings(self.config, plan)}
        return replace(
            self, plan=plan, record=self.store.studies.update_config(self.record, config)
        )


def stored_settings(config: StudyConfig, plan: RunPlan) -> dict[str, Any]:
    """The part of a study's stored configuration that `StudyRun.load` reads."""
    return {"study": config.model_dump(mode="json"), "plan": plan.model_dump(mode="json")}


def inserted_attentions(choices: Iterable[str]) -> list[str]:
    """The choices of a space but for "no attention"."""
    return [name for name in choices if name != NONE]
