"""What to try next: proposals, the coordinator's loop, and the command line.

`attentune.search` is both this package and the main function of the public API:
`attentune.search("mine", backbone="resnet18", data="photos")` calls `run.study.search`.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """A module that can be called (see "Customizing module attribute access" of Python's docs)."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Start a study and run it; see `attentune.search.run.study.search`."""
        from .run.study import search

        return search(*arguments, **settings)


sys.modules[__name__].__class__ = _CallableModule
