"""The changes to the plan of a study that `attentune resume` makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import UsageError
from ...studies.config import RunPlan
from . import units
from .request import PARSERS, check_names, split_budget


def read_plan_changes(options: Mapping[str, Any]) -> dict[str, Any]:
    """The changes to a `RunPlan` that `resume` makes; settings that are None are left out.

    Raises:
        UsageError: an unknown setting, or a duration or size that cannot be read.
    """
    check_names(options, RunPlan.model_fields)
    try:
        options = split_budget(options)
    except ValueError as error:
        raise UsageError(f"resume: budget: {error}") from None
    return {
        name: _read_change(name, PARSERS[name], value) if name in PARSERS else value
        for name, value in options.items()
        if value is not None
    }


def _read_change(name: str, parse: Callable[[str | float], float], value: str | float) -> float:
    try:
        return parse(value)
    except units.QuantityError as error:
        raise UsageError(f"resume: {name}: {error}") from None
