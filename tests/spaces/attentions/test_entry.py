"""Options: which texts they read, and what they say about others."""

from __future__ import annotations

import re

import pytest
from attentune.spaces.attentions.registry import attention


@pytest.mark.parametrize(
    ("name", "option", "text", "value"),
    [
        ("se", "r", "16", 16),
        ("se", "bias", "true", True),
        ("se", "start", "identity", "identity"),
        ("eca", "k", "auto", "auto"),
        ("eca", "k", "5", 5),
    ],
)
def test_option_reads_a_legal_value(name, option, text, value):
    assert attention(name).option(option).parse(text) == value


@pytest.mark.parametrize(
    ("name", "option", "text", "legal"),
    [
        ("se", "r", "0", "r must be whole number ≥ 1"),
        ("se", "r", "auto", "r must be whole number ≥ 1"),
        ("se", "bias", "1", "bias must be true or false"),
        ("se", "start", "warm", "start must be paper or identity"),
        ("eca", "k", "4", "k must be auto or odd whole number ≥ 1"),
        ("cbam", "k", "1", "k must be odd whole number ≥ 3"),
    ],
)
def test_option_refuses_an_illegal_value_and_names_the_legal_ones(name, option, text, legal):
    with pytest.raises(ValueError, match=re.escape(legal)):
        attention(name).option(option).parse(text)
