"""attentune: which attention, at which reduction ratio, inserted where, buys the most accuracy.

The public API is loaded on first use, so that `import attentune` stays cheap. docs/api.md shows an
example of each name.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import AttentuneError as AttentuneError
    from .runners.costs import measure as measure
    from .search.run.callback import Callback as Callback
    from .search.run.study import open_study as open_study
    from .search.run.study import search as search
    from .spaces.architecture import Architecture as Architecture
    from .spaces.attentions.plugins.register import register_attention as register_attention
    from .spaces.backbones.discover import sites as sites
    from .spaces.networks.build import create_model as create_model
    from .spaces.networks.own_network import insert as insert
    from .spaces.networks.timm_alias import register as register
    from .studies.outputs.exported_model import load as load

# A program that uses the library decides where its messages go: `logging.getLogger("attentune")`.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__version__ = "0.1.0"

_HOMES = {
    "Architecture": ".spaces.architecture",
    "AttentuneError": ".errors",
    "Callback": ".search.run.callback",
    "create_model": ".spaces.networks.build",
    "insert": ".spaces.networks.own_network",
    "load": ".studies.outputs.exported_model",
    "measure": ".runners.costs",
    "open_study": ".search.run.study",
    "register": ".spaces.networks.timm_alias",
    "register_attention": ".spaces.attentions.plugins.register",
    "sites": ".spaces.backbones.discover",
}
"""Where each name is defined. `search` is missing because the package of that name is callable."""
__all__ = [
    "Architecture",
    "AttentuneError",
    "Callback",
    "create_model",
    "insert",
    "load",
    "measure",
    "open_study",
    "register",
    "register_attention",
    "search",
    "sites",
]


def __getattr__(name: str) -> Any:
    if name == "search":
        return import_module(".search", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module 'attentune' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
