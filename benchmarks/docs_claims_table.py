"""Render the result of `claims.py` for the guide."""

from __future__ import annotations

from attentune.benchmarks.markdown_table import Result, format_markdown_table


def render_claims(result: Result) -> list[str]:
    """How often differences are claimed that do not exist, and one that exists."""
    rows = [
        [
            name,
            _format_share(row["any claim"]),
            f"{100 * row['coverage']:.1f} %",
        ]
        for name, row in result["one network"].items()
    ]
    lines = format_markdown_table(
        ["one network under many names", "a difference is claimed", "95 % intervals that hold"],
        rows,
    )
    rows = [
        [name, _format_share(row["found"]), _format_share(row["wrong"])]
        for name, row in result["one attention"].items()
    ]
    error = 100 * result["standard error"]
    usual = result["one network"]["predictions kept"]
    return [
        *lines,
        *format_markdown_table(
            ["one attention is better by three standard errors", "claimed", "another is claimed"],
            rows,
        ),
        f"{result['repetitions']:,} simulated studies each, with new images, and the confirmation "
        f"of their finalists: {usual['seeds']} seeds and {usual['images']} test images where "
        f"nothing else is said, so that the standard error of a difference is {error:.1f} points.",
        "",
    ]


def _format_share(share: dict[str, float]) -> str:
    return f"{100 * share['share']:.1f} ± {100 * share['standard_error']:.1f} %"
