"""The terminal obeys what the display writes, and nothing that a name or a message holds."""

from __future__ import annotations

import io
import re

import pytest
import typer
from attentune.errors import AttentuneError, MachineError
from attentune.search import cli
from attentune.search.cli.console import CommandGroup, TerminalConsole
from attentune.search.cli.shared import plain_table, print_json
from chaos.hostile_texts import TEXTS, forbidden_in
from rich.live import Live
from rich.text import Text

hostile = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
OWN_SEQUENCES = re.compile(r"\x1b\[[\d;?]*[A-Za-z]|\r")
"""Styles and movements of the cursor, which Rich writes."""


@hostile
@pytest.mark.parametrize("soft_wrap", [False, True])
def test_nothing_that_is_printed_holds_an_escape_sequence(text, soft_wrap):
    file = io.StringIO()
    console = TerminalConsole(file=file, width=100)
    table = plain_table("text", ">number")
    table.add_row(text, Text(text, style="bold"))
    for content in (text, Text(text), table, Text(text, style="red")):
        console.print(content, soft_wrap=soft_wrap)
    assert not forbidden_in(file.getvalue())


@hostile
def test_a_live_display_writes_only_its_own_sequences(text):
    file = io.StringIO()
    console = TerminalConsole(file=file, width=100, force_terminal=True, color_system=None)
    with Live(Text(text), console=console, transient=True, auto_refresh=False) as live:
        console.print(Text(text))
        live.refresh()
    assert not forbidden_in(OWN_SEQUENCES.sub("", file.getvalue()))
    for payload in ("\x1b]", "\x1bP", "\x1b[2J\x1b[H", "\x1b[31;1m"):
        assert payload not in file.getvalue()


def test_a_safe_text_keeps_its_style_and_its_markup_is_text():
    file = io.StringIO()
    console = TerminalConsole(file=file, force_terminal=True, color_system="standard", width=80)
    console.print(Text("größer ≤ 漢字", style="red"), "[bold]x[/] :bug:", highlight=False)
    assert file.getvalue() == "\x1b[31mgrößer ≤ 漢字\x1b[0m [bold]x[/] :bug:\n"


@hostile
@pytest.mark.parametrize("words", [["TEXT"], ["list", "TEXT"], ["show", "s", "--TEXT"]])
def test_an_error_about_usage_repeats_only_clean_text(text, words, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["attentune", *(word.replace("TEXT", text) for word in words)])
    with pytest.raises(SystemExit):
        cli.main()
    output = capsys.readouterr()
    assert not forbidden_in(output.out + output.err)


@hostile
def test_an_error_is_clean_and_short(text, monkeypatch, capsys):
    def fail() -> None:
        raise AttentuneError(f"{text} is wrong")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    message = capsys.readouterr().err
    assert ended.value.code == 1
    assert message.startswith("Error: ")
    assert not forbidden_in(message)
    assert len(message) < 5_000


@hostile
def test_json_on_a_terminal_is_ascii_that_shows(text, capsys):
    print_json({text: [text, float("nan")]})
    output = capsys.readouterr().out
    assert output.isascii()
    assert not forbidden_in(output)
    assert "NaN" not in output


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(EOFError(), MachineError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_lost_process_and_an_interrupted_question_are_not_said_to_be_aborted(raised, expected):
    """Typer answers both with "Aborted." and exit code 1."""
    app = typer.Typer(cls=CommandGroup)

    @app.callback(invoke_without_command=True)
    def command() -> None:
        if isinstance(raised, EOFError):
            raise raised
        try:
            raise raised
        except KeyboardInterrupt:
            raise typer.Abort from None

    group = typer.main.get_command(app)
    with pytest.raises(expected):
        group.invoke(group.make_context("attentune", []))
