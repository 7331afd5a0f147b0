"""Quantities as people write them."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pytest
from attentune.errors import UsageError
from attentune.search.setup import units
from hypothesis import given, settings
from hypothesis import strategies as st


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
        (units.parse_count, "5e6", 5e6),
        (units.parse_count, "5,000,000", 5e6),
        (units.parse_count, "5 M", 5e6),
        (units.parse_count, "1.5e3k", 1.5e6),
        (units.parse_count, "2,500.5", 2500.5),
        (units.parse_seconds, "1h 30m", 5400),
        (units.parse_seconds, "1d2h3m4s", 93784),
        (units.parse_seconds, "1.5h", 5400),
        (units.parse_number, "3e-3", 0.003),
        (units.parse_count, np.int64(5), 5),
    ],
)
def test_a_quantity_is_read_in_its_base_unit(read, text, number):
    assert read(text) == number


UNREADABLE = "lots|5X|5M and more|-3|5Q|1,50,000|1__0|.5|5.|٣M|5  M|5M6|1e|0x10|nan|1_000,000|5\n"


@pytest.mark.parametrize("text", [*UNREADABLE.split("|"), "", "5\u212a", True, None])
def test_a_quantity_that_cannot_be_read_is_answered_with_an_example(text):
    with pytest.raises(UsageError, match=r"cannot read .*; write for example 5M or 250k"):
        units.parse_count(text)


@pytest.mark.parametrize(
    ("read", "text", "hint"),
    [
        (units.parse_seconds, "1h30", "write 1h30m"),
        (units.parse_seconds, "1m30", "write 1m30s"),
        (units.parse_seconds, "1d12 ", "write 1d12h"),
        (units.parse_seconds, "1 500 000", "or 1,500,000 with commas"),
        (units.parse_seconds, "30m1h", "2h, 90m or 1h30m"),
        (units.parse_seconds, "1h1h", "2h, 90m or 1h30m"),
        (units.parse_count, "2 500M", "or 2,500M with commas"),
        (units.parse_count, "1 500 000", "or 1,500,000 with commas"),
        (units.parse_count, "1,5M", "or 1.5M with a decimal point"),
        (units.parse_count, "0", "not a finite number above zero"),
        (units.parse_count, "1e999", "not a finite number above zero"),
        (units.parse_count, -2, "not a finite number above zero"),
        (units.parse_count, float("nan"), "not a finite number above zero"),
        (units.parse_count, float("inf"), "not a finite number above zero"),
        (units.parse_count, 10**5000, "not a finite number above zero"),
        (units.parse_count, "9" * 10**6, "not a finite number above zero"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else type(value).__name__,
)
def test_a_likely_mistake_is_answered_with_what_was_meant(read, text, hint):
    with pytest.raises(UsageError) as raised:
        read(text)
    assert hint in str(raised.value)
    assert len(str(raised.value)) < 200


READERS = {
    units.parse_count: units.COUNT_UNITS,
    units.parse_milliseconds: units.MILLISECOND_UNITS,
    units.parse_mebibytes: units.MEBIBYTE_UNITS,
    units.parse_seconds: units.SECOND_UNITS,
}


@given(st.sampled_from(list(READERS)), st.integers(1, 10**12), st.data())
def test_what_is_written_is_what_is_read(read, number, data):
    unit = data.draw(st.sampled_from(list(READERS[read])))
    space, form = data.draw(st.sampled_from(("", " "))), data.draw(st.sampled_from(("", ",", "_")))
    text = f"{number:{form}}{space}{data.draw(st.sampled_from((unit, unit.upper())))}"
    assert read(text) == pytest.approx(number * READERS[read][unit], rel=1e-15)


@given(st.integers(0, 99), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_a_duration_is_the_sum_of_its_parts(days, hours, minutes, seconds):
    parts = {"d": days, "h": hours, "m": minutes, "s": seconds}
    text = "".join(f"{number}{unit}" for unit, number in parts.items() if number)
    if text:
        total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        assert units.parse_seconds(text) == total


@given(st.sampled_from(list(READERS)), st.text("0123456789.,_ eEhmsdkMGiB+-٣\n", max_size=12))
@settings(max_examples=300)
def test_no_text_is_silently_another_number(read, text):
    """A text that is accepted has one reading: no digits beside each other without a unit."""
    try:
        number = read(text)
    except UsageError:
        return
    factors, total, last = READERS[read], Fraction(0), math.inf
    parts = re.findall(r"([0-9][0-9,_.]*(?:e[+-]?[0-9]+)?) ?([a-z]*)", text.strip(" ").lower())
    for digits, unit in parts:
        whole = re.split(r"[.e]", digits)[0]
        assert re.fullmatch(r"[0-9]+|[0-9]{1,3}(,[0-9]{3})+|[0-9]{1,3}(_[0-9]{3})+", whole)
        assert factors[unit] < last
        assert unit or len(parts) == 1
        last = factors[unit]
        total += Fraction(digits.replace(",", "").replace("_", "")) * Fraction(factors[unit])
    assert number == pytest.approx(float(total), rel=1e-12)
    assert "".join(digits + unit for digits, unit in parts) == text.lower().replace(" ", "")
