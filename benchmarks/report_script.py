"""Take Plotly's script of five megabytes out of a report that is committed, and put it back.

`gallery.py` takes it out; `docs/site_hooks.py` puts it back when the documentation is built.
"""

from __future__ import annotations

from attentune.studies.figures.browser import plotly_script

PLOTLY_MARK = "/* plotly.js */"
"""What a committed report has in place of the script."""


def without_script(report: str) -> str:
    """The report with a mark in place of the script; SystemExit if that is not there once."""
    script = plotly_script()
    if report.count(script) != 1:
        raise SystemExit("the report was written with another version of Plotly")
    return report.replace(script, PLOTLY_MARK)


def with_script(report: str) -> str:
    """The report with the script of the installed Plotly in place of the mark."""
    return report.replace(PLOTLY_MARK, plotly_script())
