"""Scripts lose the addresses of other hosts, and nothing else."""

from __future__ import annotations

import pytest
from attentune.studies.figures.browser import PLOTLY_CONFIG, without_addresses


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('x="https://cdn.plot.ly/un/"', 'x="cdn.plot.ly/un/"'),
        ("`wss://a.example/${p}.svg`", "`a.example/${p}.svg`"),
        ('"http://www.w3.org/2000/svg"', '"http://www.w3.org/2000/svg"'),
        ("/^https?:\\/\\//", "/^https?:\\/\\//"),
        ('"http://"+host', '"http://"+host'),
    ],
)
def test_an_address_of_another_host_loses_its_scheme(text, expected):
    assert without_addresses(text) == expected


def test_plotly_draws_no_button_and_no_link_to_another_host():
    assert PLOTLY_CONFIG["showSendToCloud"] is False
    assert PLOTLY_CONFIG["displaylogo"] is False
    assert not any("://" in str(value) for value in PLOTLY_CONFIG.values())
