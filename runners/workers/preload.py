"""Imports everything that a worker needs before its first trial.

The server process from which workers are forked (see `processes`) imports this module once. Every
worker is then ready at once, and all share the memory of the imported modules. Nothing here may
start a thread or use a device.
"""

from __future__ import annotations

import gc

# Imported objects are never freed. Garbage collection would make the imports take a third longer,
# and later collections would copy the shared memory into every worker.
gc.disable()

from .parent_death import end_server_with_coordinator  # noqa: E402

end_server_with_coordinator()

from ...spaces.backbones.timm_compat import import_timm  # noqa: E402
from . import trial, worker  # noqa: E402, F401

import_timm()
gc.freeze()
gc.enable()
