"""check: a table or JSON, and an exit code that says whether it agrees."""

from __future__ import annotations

import json

import pytest
from attentune.search.cli import implementations

SE = "attention_implementations:SELayer"


def test_an_implementation_that_agrees_ends_with_0(run_here):
    exit_code, printed = run_here("check", SE, "--ratio", "8")
    assert exit_code == 0, printed
    assert "made as SELayer(channel=64, reduction=8)" in printed
    assert "beside se(r=8)" in printed
    assert "It agrees with the paper." in printed


def test_one_that_differs_ends_with_1_and_names_the_aspects(run_here):
    words = ("attention_implementations:SEWithRatioAsWidth", "--as", "se", "--json")
    exit_code, printed = run_here("check", *words)
    assert exit_code == 1
    report = json.loads(printed)
    assert report["agrees"] is False
    wrong = [c["check"] for c in report["checks"] if c["outcome"] == "differs"]
    assert wrong == ["parameters", "ratio", "function"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["SELayer"], "names no object; write my_module"),
        ([SE, "--arg", "reduction"], "write for example --arg reduction=16"),
        ([SE, "--as", "sse"], "did you mean"),
        ([SE, "--arg", "foo=3"], "has no argument 'foo'; known: channel, reduction"),
    ],
)
def test_bad_input_gets_a_sentence(run_here, words, sentence):
    exit_code, printed = run_here("check", *words)
    assert exit_code == 2
    assert sentence in printed


def test_arguments_are_literals_or_texts():
    assert implementations._parse_argument("k=3") == ("k", 3)
    assert implementations._parse_argument("act=relu") == ("act", "relu")
