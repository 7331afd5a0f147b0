"""People's own modules, which register attentions or timm models when they are imported.

The environment variable ATTENTUNE_PLUGINS names them (commas between them), for the command line
and its workers, which inherit it. They are imported once a name is asked for that nobody else has.
"""

from __future__ import annotations

import importlib
import os

from ....errors import AttentuneError

MODULES = "ATTENTUNE_PLUGINS"


def import_modules() -> bool:
    """Import what ATTENTUNE_PLUGINS names; whether there is anything.

    AttentuneError for a module that cannot be imported.
    """
    names = [name.strip() for name in os.environ.get(MODULES, "").split(",") if name.strip()]
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:
            raise AttentuneError(
                f"{MODULES} names the module {name!r}, which cannot be imported "
                f"({type(error).__name__}: {error}). Its folder has to be on PYTHONPATH."
            ) from error
    return bool(names)
