"""A user's own evaluation, which trains the networks of a study in place of attentune's recipe.

It is a function, `my_module:train`, or a command such as `python train.py`. This module imports no
torch; `workers/function_evaluator.py` and `workers/command_evaluator.py` run it.
"""

from __future__ import annotations

import re
import shlex
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .metrics import METRICS, Metric, own_metric

_FUNCTION = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*|\S*\.py):[A-Za-z_]\w*(\.\w+)*")


class UserEvaluation(BaseModel):
    """What trains the trials of a study, and what it measures.

    Attributes:
        target: a function as `module:function` or `file.py:function`, or a command line.
        kind: which of them it is.
        folder: absolute path of the folder in which modules are looked up and commands run.
        metrics: of the objectives, the searched one first, as `Metric.text`.
        digest: SHA-256 of the function's file when the study began; None if it is not known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    target: str = Field(min_length=1)
    kind: Literal["function", "command"]
    folder: str
    metrics: tuple[str, ...]
    digest: str | None = None

    @property
    def searched(self) -> Metric:
        """The metric that the study searches for."""
        return named_metric(self.metrics[0])

    @property
    def words(self) -> list[str]:
        """The words of a command."""
        return shlex.split(self.target)


def names_function(target: str) -> bool:
    """Whether a target has the form of a function's name; else it is a command line."""
    return _FUNCTION.fullmatch(target.strip()) is not None


def named_metric(text: str) -> Metric:
    """The metric of a text that a study holds; KeyError if there is none."""
    metric = METRICS.get(text) or own_metric(text)
    if metric is None:
        raise KeyError(text)
    return metric
