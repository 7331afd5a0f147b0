"""What to try next: proposals, the coordinator's loop, and the command line.

`attentune.search` is both this package and the main function of the public API:

    study = attentune.search("mine", backbone="resnet18", data="photos", trials=40)

starts a study, runs it and returns it. `help("attentune.search.run.study.search")` describes the
arguments; any option of the command `attentune search` is one, with underscores.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    """A module that can be called (see "Customizing module attribute access" of Python's docs)."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Start a study and run it; see `attentune.search.run.study.search`."""
        from .run.study import search

        return search(*arguments, **settings)


def __getattr__(name: str) -> Any:
    """The signature of the function, for `inspect`, editors and notebooks."""
    if name == "__signature__":
        from .run.study import search

        return inspect.signature(search)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


sys.modules[__name__].__class__ = _CallableModule
