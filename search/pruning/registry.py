"""The pruners by name. `--pruner` offers these names.

To add one, write a subclass of `Pruner` in a file of this folder and add it to `PRUNER_FACTORIES`.
In `studies/config.py`, add its name to `PrunerName`, its settings to `Pruning`, and their names to
`PRUNER_SETTINGS`. The contract suite then covers it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...studies.config import PrunerName, StudyConfig
from .asha import AshaPruner
from .base import Pruner
from .front import FrontPruner
from .none import NoPruner

PRUNER_FACTORIES: Mapping[PrunerName, Callable[[StudyConfig], Pruner]] = {
    "none": lambda _config: NoPruner(),
    "asha": AshaPruner,
    "front": FrontPruner,
}


def make_pruner(config: StudyConfig) -> Pruner:
    """The pruner that the study's configuration names."""
    return PRUNER_FACTORIES[config.pruning.pruner](config)
