"""All that a worker imports before its first trial.

The server process from which workers are forked (see `local_pool`) imports this module once. So
every worker is ready at once, and all share the memory of what was imported. Nothing here may start
a thread or touch a device.
"""

from __future__ import annotations

import gc

# None of what is imported ever becomes garbage. Looking for garbage again and again would make the
# imports a third longer, and in the end every worker would have a copy of the memory.
gc.disable()

from ...spaces.backbones.timm_compat import import_timm  # noqa: E402
from . import trial, worker  # noqa: E402, F401

import_timm()
gc.freeze()
gc.enable()
