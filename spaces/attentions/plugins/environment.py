"""Users' modules that register attentions or timm models when they are imported.

The environment variable ATTENTUNE_PLUGINS names them, separated by commas. It serves the command
line and its worker processes, which inherit it. The modules are imported as soon as a name is asked
for that nothing else provides.
"""

from __future__ import annotations

import importlib
import os

from ....errors import AttentuneError

PLUGINS_VARIABLE = "ATTENTUNE_PLUGINS"


def import_modules() -> bool:
    """Import the modules that ATTENTUNE_PLUGINS names; returns whether it names any.

    Raises:
        AttentuneError: for a module that cannot be imported.
    """
    names = [n.strip() for n in os.environ.get(PLUGINS_VARIABLE, "").split(",") if n.strip()]
    for name in names:
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise AttentuneError(
                f"{PLUGINS_VARIABLE} names the module {name!r}, which cannot be imported "
                f"({type(error).__name__}: {error}). Its folder has to be on PYTHONPATH."
            ) from error
    return bool(names)
