"""The gains of a confirmation as markers with intervals."""

from __future__ import annotations

from attentune.benchmarks.claims import SPACE, TEXTBOOK
from attentune.studies.figures.confirmation import confirmation_figure
from example_records import BARE, example_confirmation, searched, spread


def test_only_significant_differences_are_filled() -> None:
    names = [BARE, SPACE[0], SPACE[9], SPACE[20], TEXTBOOK[1]]
    search = searched(dict(zip(names, (0.60, 0.66, 0.65, 0.67, 0.62), strict=True)))
    test = dict(zip(names, map(spread, (0.700, 0.740, 0.7402, 0.7399, 0.7005)), strict=True))
    figure = confirmation_figure(example_confirmation(search, test))
    symbols = {symbol for trace in figure.data for symbol in trace.marker.symbol}
    assert symbols == {"circle", "circle-open"}
    assert [trace.name for trace in figure.data] == ["finalists"]
    assert "+4.02 ± 0.21 points" in " ".join(figure.data[0].text)


def test_without_a_gain_it_says_so() -> None:
    figure = confirmation_figure(example_confirmation(searched({BARE: 0.6}), {BARE: [0.7, 0.7]}))
    assert figure.layout.height
    assert "yet" in figure.layout.annotations[0].text
