"""What commands share: messages of the library as plain lines, and commands to copy."""

from __future__ import annotations

import io
import logging

import pytest
import typer
from attentune.search.cli import shared
from attentune.search.cli.console import wrap_words
from attentune.search.cli.shared import StudyCommands, messages_on, plain_table
from rich.console import Console


def test_messages_of_the_library_are_plain_lines_while_a_command_runs():
    text = io.StringIO()
    logger = logging.getLogger("attentune.somewhere")
    with messages_on(Console(file=text, width=20)):
        logger.info("a long line with [brackets] that no terminal %s", "wraps")
        logger.debug("a detail")
    logger.info("after the command")
    assert text.getvalue() == "a long line with [brackets] that no terminal wraps\n"


def test_without_a_handler_the_library_prints_nothing(capsys):
    logging.getLogger("attentune.somewhere").info("hello")
    assert capsys.readouterr() == ("", "")
    handlers = logging.getLogger("attentune").handlers
    assert any(isinstance(handler, logging.NullHandler) for handler in handlers)


def test_commands_name_study_and_database_so_that_they_can_be_copied():
    commands = StudyCommands("my study", "my file.db")
    assert commands.command("resume") == "attentune resume 'my study' --db 'my file.db'"
    assert StudyCommands("s", None).command("report", "-o r.html") == "attentune report s -o r.html"


def test_a_table_cuts_no_long_word_off():
    architecture = "test_resnet+ca(r=4,start=identity)@s1-s2.residual"
    table = plain_table("", ">number")
    table.add_row(architecture, "1")
    text = io.StringIO()
    Console(file=text, width=20).print(table)
    rows = text.getvalue().splitlines()[1:]
    assert "".join(row[:12].strip() for row in rows) == architecture


def test_an_interrupted_command_says_how_to_continue_and_exits_with_130():
    text = io.StringIO()
    with pytest.raises(typer.Exit) as left:
        StudyCommands("s", None).exit_interrupted("Stopped.", console=Console(file=text))
    assert left.value.exit_code == 130
    assert text.getvalue() == "Stopped. Continue with:\n  attentune resume s\n"


@pytest.mark.parametrize(("width", "lines"), [(200, 4), (40, 8)])
def test_next_steps_fit_the_terminal(monkeypatch, width, lines):
    text = io.StringIO()
    monkeypatch.setattr(shared, "out", Console(file=text, width=width, force_terminal=True))
    StudyCommands("s", None).print_next_steps(40, 7)
    printed = text.getvalue().splitlines()[2:]
    assert len(printed) == lines
    assert "attentune export s --pick 7 -o model" in text.getvalue()


def test_nothing_is_exported_or_confirmed_where_the_bare_backbone_is_kept(monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr(shared, "out", Console(file=text, width=200))
    StudyCommands("s", None).print_next_steps(40, None)
    assert "attentune export" not in text.getvalue()
    assert "attentune confirm" not in text.getvalue()
    assert "attentune resume s --trials 100" in text.getvalue()


def test_prose_breaks_between_words_on_a_terminal_and_commands_stay_in_one_piece():
    line = "A sentence with `attentune resume first --trials 40` in it."
    terminal = Console(file=io.StringIO(), force_terminal=True, width=20)
    assert wrap_words(line, terminal).splitlines() == [
        "A sentence with",
        "`attentune resume first --trials 40`",
        "in it.",
    ]
    assert wrap_words("  attentune resume first --trials 40", terminal).startswith("  attentune")
    assert wrap_words(line, Console(file=io.StringIO(), width=20)) == line
