"""What Plotly's script may do in a browser: nothing that leads to another host.

By default Plotly draws a button that uploads a figure, and a link to its makers. Its script also
contains the addresses of map servers, which no figure of ours uses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from plotly.offline import get_plotlyjs

PLOTLY_CONFIG: Mapping[str, Any] = MappingProxyType(
    {
        "responsive": True,
        "displaylogo": False,
        "showSendToCloud": False,
        "plotlyServerURL": "",
        "topojsonURL": "./",
        "modeBarButtonsToRemove": ["sendChartToCloud", "lasso2d", "select2d", "autoScale2d"],
    }
)
"""Settings of every figure that a browser draws."""

_ADDRESS = re.compile(r"\b(?:https?|wss?)://(?!www\.w3\.org/)(?=[\w-]+(?:\.[\w-]+)+)")
"""The scheme of an address; addresses of the W3C name formats and are never opened."""


def without_addresses(text: str) -> str:
    """A script or page whose addresses of other hosts have lost their scheme.

    A browser takes what remains for a path of this page. Names in comments and licences stay
    readable.
    """
    return _ADDRESS.sub("", text)


def plotly_script() -> str:
    """Plotly's script, which a report contains."""
    return without_addresses(get_plotlyjs())
