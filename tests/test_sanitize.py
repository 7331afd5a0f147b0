"""Text and numbers from outside."""

from __future__ import annotations

import json
import math

import pytest
from attentune.sanitize import clean_error, clean_text, hide_passwords, json_text, quote_value

HOSTILE = {
    "a lone surrogate": ("caf\udce9", r"caf\xe9"),
    "half of a pair": ("x\ud83dy", r"x\ud83dy"),
    "NUL": ("a\x00b", r"a\x00b"),
    "a colour": ("\x1b[31mred", r"\x1b[31mred"),
    "a C1 control": ("\x9b31m", r"\x9b31m"),
    "a bell and DEL": ("\x07\x7f", r"\x07\x7f"),
    "a link": ("\x1b]8;;http://a\x07b", r"\x1b]8;;http://a\x07b"),
    "an override of the direction": ("\u202egnp.exe", r"\u202egnp.exe"),
    "a return to the start of the line": ("good\rbad", r"good\x0dbad"),
    "tags": ("a\U000e0041", r"a\U000e0041"),
}


@pytest.mark.parametrize(("text", "clean"), HOSTILE.values(), ids=HOSTILE)
def test_unsafe_characters_become_visible(text, clean):
    assert clean_text(text) == clean
    assert clean_text(clean) == clean
    clean.encode("utf-8")


@pytest.mark.parametrize(
    "text", ["", "Größe 5 × 3 µs → ≤", "日本語", "👩‍👧", "two\n\tlines", "عربى"]
)
def test_ordinary_text_is_unchanged(text):
    assert clean_text(text) == text


def test_a_long_text_is_cut_and_says_so():
    text = clean_text("ab" * 5_000_000, 100)
    assert len(text) == 100
    assert text.startswith("abab")
    assert text.endswith("[… of 10000000 characters]")
    assert clean_text(text, 100) == text


def test_the_end_of_a_traceback_is_kept():
    text = clean_text("x" * 500 + "ValueError: here", 60, keep_end=True)
    assert len(text) == 60
    assert text.startswith("[… of 516 characters] x")
    assert text.endswith("ValueError: here")


def test_escapes_count_towards_the_length():
    assert len(clean_text("\x00" * 50, 60)) == 60


def test_a_name_is_one_line():
    assert clean_text("cats\r\n\n  Error: \tnothing", one_line=True) == "cats Error:  nothing"


def test_a_subclass_of_text_becomes_plain_text():
    class Text(str):
        def __str__(self) -> str:
            raise RuntimeError

    assert type(clean_text(Text("a"))) is str


def test_an_exception_whose_message_fails_is_called_by_its_type():
    class SilentError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert clean_error(SilentError()) == "SilentError"
    assert clean_error(ValueError()) == "ValueError"
    assert clean_error(OSError("caf\udce9\n")) == r"caf\xe9"


def test_json_has_no_infinity():
    value = {"a": (math.nan, [math.inf, 1.5]), "b": -math.inf, "c": "\x7f\x1b\ud800"}
    text = json_text(value)
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": [None, [None, 1.5]],
        "b": None,
        "c": "\x7f\x1b\ud800",
    }
    assert text.isprintable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("--db postgresql://me:se@cret@host:5432/x", "--db postgresql://me:***@host:5432/x"),
        (
            "a+b://:p@h/x c://h:5432/x",
            "a+b://:***@h/x c://h:5432/x",
        ),
        ("attentune search a --db a.db", "attentune search a --db a.db"),
    ],
)
def test_a_command_is_kept_without_passwords(text, expected):
    assert hide_passwords(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("5Q", "'5Q'"),
        (10**5000, "a number of thousands of digits"),
        ("x" * 99, "'" + "x" * 59 + "…"),
    ],
    ids=["short", "number", "long"],
)
def test_a_value_is_repeated_in_a_sentence_without_its_rest(value, expected):
    assert quote_value(value) == expected
