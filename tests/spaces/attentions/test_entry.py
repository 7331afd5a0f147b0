"""Options: which texts they read, and what they say about others."""

from __future__ import annotations

import re

import pytest
from attentune.spaces.attentions.registry import get_attention


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
    assert get_attention(name).option(option).parse(text) == value


@pytest.mark.parametrize(
    ("name", "option", "text", "legal"),
    [
        ("se", "r", "0", "r cannot be '0'; legal: whole number ≥ 1"),
        ("se", "r", "auto", "r cannot be 'auto'; legal: whole number ≥ 1"),
        ("se", "bias", "1", "bias cannot be '1'; legal: true or false"),
        ("se", "start", "warm", "start cannot be 'warm'; legal: paper or identity"),
        ("eca", "k", "4", "k cannot be '4'; legal: auto or odd whole number ≥ 1"),
        ("cbam", "k", "1", "k cannot be '1'; legal: odd whole number ≥ 3"),
    ],
)
def test_option_refuses_an_illegal_value_and_names_the_legal_ones(name, option, text, legal):
    with pytest.raises(ValueError, match=re.escape(legal)):
        get_attention(name).option(option).parse(text)
