"""Load an object that a command names, such as `my_module:make_model`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from .errors import UsageError, did_you_mean


def load_named_object(reference: str) -> Any:
    """Import the module of `module:name`, from the current folder too, and return the object.

    Args:
        reference: a module as in an import, a colon, and a name in it; both may contain dots.

    Raises:
        UsageError: the text has another form, the module cannot be imported, or does not have the
            name.
    """
    module_name, colon, name = reference.partition(":")
    if not (module_name and colon and name):
        raise UsageError(f"{reference!r} names no object; write my_module:my_function")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        value: Any = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"{reference} names the module {module_name!r}, which cannot be imported "
            f"({type(error).__name__}: {error}); its folder has to be the current one or on "
            "PYTHONPATH"
        ) from error
    for part in name.split("."):
        if not hasattr(value, part):
            public = [member for member in dir(value) if not member.startswith("_")]
            raise UsageError(f"{module_name} has no {name}{did_you_mean(part, public)}")
        value = getattr(value, part)
    return value
