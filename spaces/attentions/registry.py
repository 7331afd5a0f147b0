"""Attentions by name: the built-in ones of the catalogue, and those that users registered.

The catalogue is a table and does not import plug-ins. `plugins/register.py` imports the catalogue,
because plug-ins must not take its names. This module searches both.
"""

from __future__ import annotations

from typing import Any

from ...errors import ArchitectureError, did_you_mean
from .catalogue import ATTENTIONS
from .entry import Attention
from .plugins.register import find_registered, is_registered, list_registered


def get_attention(name: str) -> Attention:
    """The attention of that name, built in or a user's own.

    A package or module that provides it is imported if necessary.

    Raises:
        ArchitectureError: if there is none; the message names the closest.
        AttentuneError: if the name belongs to a user's attention that is broken.
    """
    entry = ATTENTIONS.get(name) or find_registered(name)
    if entry is None:
        hint = did_you_mean(name, [*ATTENTIONS, *list_registered()], listed=20)
        raise ArchitectureError(f"unknown attention {name!r}{hint}")
    return entry


def is_available(name: str) -> bool:
    """Whether an attention of that name is available. This imports no installed package.

    Raises:
        AttentuneError: if a module that ATTENTUNE_PLUGINS names cannot be imported.
    """
    return name in ATTENTIONS or is_registered(name)


def describe_attentions() -> list[dict[str, Any]]:
    """All attentions in plain types, which is what `attentune attentions --json` prints.

    No installed package is imported, so of a user's attention only its name and origin are known.
    """
    unknown: dict[str, Any] = {"title": "", "paper": "", "kind": None, "formula": "", "options": []}
    registered = list_registered()
    return [
        *(entry.to_json() for entry in ATTENTIONS.values()),
        *({"name": name, **unknown, "origin": origin} for name, origin in registered.items()),
    ]
