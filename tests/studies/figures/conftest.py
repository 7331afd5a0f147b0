"""A small study, what the analysis finds in it, and a way to pick one trace of a figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import plotly.graph_objects as go
import pytest
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.findings import Findings
from attentune.studies.database.store import Store
from attentune.studies.records import BASELINE, StudyRecord
from attentune.studies.stored_config import StoredConfig


@pytest.fixture
def target(tmp_path: Any) -> str:
    return str(tmp_path / "x.db")


@pytest.fixture
def filled(add: Callable[..., int]) -> None:
    """Two baselines, one architecture with two seeds, one that is worse than the baselines."""
    add("resnet18", 0.60, 1000, role=BASELINE)
    add("resnet18+se(r=16)@all.residual", 0.62, 1100, role=BASELINE)
    add("resnet18+cbam(r=4)@s3.residual", 0.70, 1050)
    add("resnet18+cbam(r=4)@s3.residual", 0.72, 1050, seed=1)
    add("resnet18+eca@s1.mid", 0.58, 1001)


@pytest.fixture
def findings(store: Store, study: StudyRecord) -> Callable[[], Findings]:
    """What the analysis finds in the study as it is when this is called."""
    config = StoredConfig({"study": {"stages": 4}})
    return lambda: analyse(replace(study, config=config), store.trials.read(study))


@pytest.fixture
def trace() -> Callable[[go.Figure, str], Any]:
    """The one trace of a figure whose name starts like this."""

    def pick(figure: go.Figure, name: str) -> Any:
        [only] = [trace for trace in figure.data if trace.name.startswith(name)]
        return only

    return pick
