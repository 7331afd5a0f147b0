"""A link restores what its sender saw."""

from __future__ import annotations

import pytest
from attentune.studies.dashboard.address import Address, unread_values

ADDRESSES = [
    Address(),
    Address(study="a b&c=d", cost="macs", log=True, trial=7),
    Address(attention=("se", "cbam"), stage=("s1",), ratio=("16",), colour="position"),
    Address(state=("failed",), search="se s3", ranges=("params:1:2.5", "score::75"), page=3),
    Address(first=3, second=0, sort="-score", columns=("number", "s3.attention")),
    Address(third="latency_ms", position=("mid",), compared=("other", "one & two")),
]


@pytest.mark.parametrize("address", ADDRESSES, ids=str)
def test_an_address_restores_what_was_seen(address):
    assert Address.from_query(address.query) == address


@pytest.mark.parametrize(
    "search", [None, "", "?", "?trial=x&colour=none", "?trial=-1", "?log=7", "?%ff=%fe"]
)
def test_an_address_that_makes_no_sense_is_the_default(search):
    assert Address.from_query(search) == Address()


def test_another_filter_or_order_begins_at_the_first_page_of_the_table():
    address = Address(page=4, sort="params")
    assert address.with_changes({"trial": 3}).page == 4
    assert address.with_changes({"search": " se "}) == Address(sort="params", search="se")
    assert address.with_changes({"sort": ""}) == Address()
    assert Address(state=("failed",), ranges=("x:1:2",), cost="macs").without_filters() == Address(
        cost="macs"
    )


def test_parts_of_a_query_string_without_a_meaning_are_named() -> None:
    assert unread_values("?study=x&colour=attention&log=0&trial=3") == []
    assert unread_values("?colour=red&trial=x&taste=sweet&log=1") == [
        "colour=red",
        "trial=x",
        "taste=sweet",
    ]
