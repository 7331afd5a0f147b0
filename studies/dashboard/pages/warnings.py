"""What has to be known before believing any number of a study, above every page."""

from __future__ import annotations

from ..components import Component, remark
from ..context import PageContext


def warnings(context: PageContext) -> Component:
    """The warnings about the study, a paragraph each; nothing if there are none."""
    return [remark(warning) for warning in context.state.warnings()]
