"""attentune: which attention, at which reduction ratio, inserted where, buys the most accuracy.

The public surface, loaded on first use so that `import attentune` stays cheap.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import AttentuneError as AttentuneError
    from .runners.costs import measure as measure
    from .spaces.architecture import Architecture as Architecture
    from .spaces.attentions.plugins.register import register_attention as register_attention
    from .spaces.networks.build import create_model as create_model
    from .studies.outputs.export import load as load

# A program that uses the library decides where its messages go: `logging.getLogger("attentune")`.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"

_HOMES = {
    "Architecture": ".spaces.architecture",
    "AttentuneError": ".errors",
    "create_model": ".spaces.networks.build",
    "load": ".studies.outputs.export",
    "measure": ".runners.costs",
    "register_attention": ".spaces.attentions.plugins.register",
}
__all__ = [
    "Architecture",
    "AttentuneError",
    "__version__",
    "create_model",
    "load",
    "measure",
    "register_attention",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'attentune' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
