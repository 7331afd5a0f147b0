"""check: compare somebody's implementation of an attention with its paper's."""

from __future__ import annotations

import ast
from typing import Annotated, Any

import typer
from rich.text import Text

from ...errors import UsageError
from ...interrupts import defer_interrupts
from ...runners.implementation_checks.report import ImplementationReport
from .shared import Json, out, plain_table, print_json, print_line

_STYLES = {
    "same": "green",
    "note": "",
    "deviation": "yellow",
    "differs": "bold red",
    "fails": "bold red",
}


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(check)


def check(
    reference: Annotated[
        str,
        typer.Argument(
            help="A class of modules, or a function that makes one, e.g. my_module:MyCBAM."
        ),
    ],
    attention: Annotated[
        str | None,
        typer.Option(
            "--as", help="Which attention it is, e.g. cbam or cbam(k=3). Default: by its name."
        ),
    ] = None,
    channels: Annotated[int, typer.Option(min=1, max=4096, help="Channels of the map.")] = 64,
    ratio: Annotated[
        int | None, typer.Option(min=1, help="Reduction ratio. Default: the class's own.")
    ] = None,
    argument: Annotated[
        list[str] | None,
        typer.Option(
            "--arg", metavar="NAME=VALUE", help="A further argument of the class; repeatable."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare somebody's implementation of an attention with the paper's."""
    with defer_interrupts():
        from ...runners.implementation_checks.check import check_implementation

    report = check_implementation(
        reference,
        attention,
        channels=channels,
        ratio=ratio,
        arguments=dict(map(_parse_argument, argument or [])),
    )
    if as_json:
        print_json(report.to_json())
    else:
        _print_report(report)
    if not report.agrees:
        raise typer.Exit(1)


def _parse_argument(text: str) -> tuple[str, Any]:
    """The name and the value of `reduction=16`; a value that is no literal is a text."""
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise UsageError(f"--arg {text} is no argument; write for example --arg reduction=16")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _print_report(report: ImplementationReport) -> None:
    print_line(f"{report.reference}, made as {report.made_by}")
    print_line(f"beside {report.attention}, {report.title}: {report.paper}\n")
    table = plain_table("check", "result", "")
    for aspect in report.aspects:
        result = Text(aspect.outcome, _STYLES[aspect.outcome])
        table.add_row(aspect.aspect, result, Text(aspect.sentence))
    out.print(table)
    at_fault = report.aspects_at_fault
    if not at_fault:
        print_line("\nIt agrees with the paper.")
        return
    print_line(
        f"\nIt is not the paper's module: see {', '.join(at_fault)}. "
        f"`attentune code {report.attention!r}` prints one that is."
    )
