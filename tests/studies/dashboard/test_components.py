"""What pages are made of: texts stay texts, and lines break where they should."""

from __future__ import annotations

from typing import Any

from attentune.studies.dashboard.components import remark, sentence, short_architecture, table
from dash import html


def texts(component: Any) -> list[str]:
    return [getattr(child, "children", child) for child in component.children]


def test_a_sentence_breaks_before_insertions_and_shows_backticks_as_code() -> None:
    paragraph = sentence("net+se(r=4)@s1.mid is better than `eca@s2.mid`.")
    assert texts(paragraph) == ["net", "+se(r=4)@s1.mid", " is better than ", "eca@s2.mid", "."]
    assert [type(child) for child in paragraph.children[1::2]] == [html.Span, html.Code]


def test_code_breaks_before_its_insertions_too() -> None:
    for paragraph in (sentence("Take `net+se(r=4)@s1.mid`."), remark("Take `net+se(r=4)@s1.mid`.")):
        first, code, last = paragraph.children
        assert (first, last) == ("Take ", ".")
        assert [getattr(part, "children", part) for part in code.children] == [
            "net",
            "+se(r=4)@s1.mid",
            "",
        ]
    assert remark("plain").children == "plain"


def test_an_architecture_is_its_insertions() -> None:
    code = short_architecture("resnet18+se(r=4,start=identity)@s1.mid+eca@s2.mid")
    assert texts(code) == ["se(r=4)@s1.mid", "+eca@s2.mid"]


def test_a_column_of_numbers_is_marked_as_such() -> None:
    head, body = table(["Name", ">Trials"], [["<b>a</b>", "3"]]).children
    assert [th.children for th in head.children.children] == ["Name", "Trials"]
    [row] = body.children
    assert [td.className for td in row.children] == ["lead", "number"]
    assert row.children[0].children == "<b>a</b>"
