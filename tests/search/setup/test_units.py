"""Quantities as people write them."""

from __future__ import annotations

import pytest
from attentune.errors import UsageError
from attentune.search.setup import units


@pytest.mark.parametrize(
    ("read", "text", "number"),
    [
        (units.parse_count, "5M", 5e6),
        (units.parse_count, "250k", 250e3),
        (units.parse_count, "1_000", 1000),
        (units.parse_milliseconds, "8ms", 8),
        (units.parse_milliseconds, "0.5s", 500),
        (units.parse_seconds, "2h", 7200),
        (units.parse_seconds, "1h30m", 5400),
        (units.parse_seconds, 90, 90),
        (units.parse_mebibytes, "2GiB", 2048),
        (units.parse_mebibytes, "500MiB", 500),
    ],
)
def test_a_quantity_is_read_in_its_base_unit(read, text, number):
    assert read(text) == number


@pytest.mark.parametrize("text", ["lots", "", "5X", "0", "5M and more", "-3"])
def test_a_quantity_that_cannot_be_read_is_answered_with_an_example(text):
    with pytest.raises(UsageError, match="5M or 250k"):
        units.parse_count(text)
