"""All that a worker imports before its first trial.

Imported once by the server that workers are forked off (`pool.LocalPool`), so that each begins at
once and they share the memory of it. Nothing here may start a thread or touch a device.
"""

from __future__ import annotations

import gc

# None of what is imported is ever garbage. Looked through again and again, it would make imports a
# third longer, and in the end every worker would have its own copy of the memory.
gc.disable()

from ...spaces.backbones.timm_compat import import_timm  # noqa: E402
from . import trial, worker  # noqa: E402, F401

import_timm()
gc.freeze()
gc.enable()
