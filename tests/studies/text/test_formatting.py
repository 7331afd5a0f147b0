"""One format for every number, wherever it is shown."""

from __future__ import annotations

import pytest
from attentune.spaces.architecture import parse
from attentune.studies.objectives import OBJECTIVES
from attentune.studies.text import formatting
from attentune.studies.text.formatting import MISSING


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (640, "640"),
        (1_000, "1.000 k"),
        (11_689_512, "11.69 M"),
        (11_776_552, "11.78 M"),
        (999_960, "1.000 M"),
        (9_999_600, "10.00 M"),
        (1_820_000_000, "1.820 G"),
    ],
)
def test_counts_have_four_significant_digits(value: float, text: str) -> None:
    assert formatting.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (11_776_552, "11,776,552"),
        (2**200, "1.6e60"),
        (10**9, "1.0e9"),
        (7**999, "1.8e844"),
    ],
)
def test_sizes_of_any_magnitude_can_be_printed(value: int, text: str) -> None:
    assert formatting.size(value) == text


@pytest.mark.parametrize(
    ("fraction", "error", "text"),
    [
        (0.757, None, "75.7 %"),
        (0.757, 0.008, "75.7 ± 0.8 %"),
        (0.757, 0.0004, "75.7 ± 0.04 %"),
        (0.757, 0.0, "75.7 ± 0.0 %"),
        (None, None, MISSING),
    ],
)
def test_accuracies_are_in_percent(fraction: float | None, error: float | None, text: str) -> None:
    assert formatting.percent(fraction, error) == text


def test_differences_have_a_sign_and_a_true_minus() -> None:
    assert formatting.points(0.093, 0.008) == "+9.3 ± 0.8"
    assert formatting.points(-0.012) == "−1.2"
    assert formatting.points(0.0041, 0.0015, decimals=2) == "+0.41 ± 0.15"
    assert formatting.points(0.012, signed=False) == "1.2"


def test_a_measured_cost_has_its_error_and_is_equal_within_its_noise() -> None:
    """The same digits on every surface: two significant ones of the error."""
    latency = OBJECTIVES["latency"]

    def values(ratio: float, error: float | None) -> dict[str, float]:
        known = {"latency_ms": 5 * ratio, "latency_ms_error": 0.12, "latency_ratio": ratio}
        return known if error is None else known | {"latency_ratio_error": error}

    bare = values(1.0, 0.0)
    assert formatting.cost_of(values(1.041, 0.012), latency) == "5.21 ± 0.12 ms"
    assert formatting.cost_of({"latency_ms": 5.2}, latency) == "5.2 ms"
    assert formatting.cost_of({"memory_mib": 88.25}, OBJECTIVES["memory"]) == "88.2 MiB"
    assert formatting.cost_of({}, latency) == MISSING
    tiny = {"latency_ms": 1.0, "latency_ms_error": 1e-300}
    assert formatting.cost_of(tiny, latency) == "1.000000 ± 0.000000 ms"
    assert formatting.latency_ratio(values(1.041, 0.012)) == "1.041 ± 0.012"
    assert formatting.latency_ratio(values(1.008, 0.012)) == "1.008 ± 0.012, equal"
    assert formatting.latency_ratio(bare) == "1"
    assert formatting.latency_ratio(values(1.041, None)) == "1.04"
    assert formatting.cost_change(values(1.041, 0.012), bare, latency) == "+4.1 ± 1.2 %"
    assert formatting.cost_change(values(0.9, 0.012), bare, latency) == "−10.0 ± 1.2 %"
    assert formatting.cost_change(values(1.0, 0.012), bare, latency) == "equal (± 1.2 %)"
    assert formatting.cost_change(values(1.041, None), bare, latency) == "+4.1 %"
    assert formatting.cost_change({"params": 11}, {"params": 10}, OBJECTIVES["params"]) == "+10.0 %"
    assert formatting.cost_change({}, bare, latency) is None


def test_a_small_relative_change_does_not_read_as_none() -> None:
    assert formatting.relative_change(1014, 1000) == "+1.4 %"
    assert formatting.relative_change(9999, 10_000) == "−0.01 %"
    assert formatting.relative_change(1.0, 0.0) == MISSING


def test_costs_have_their_unit() -> None:
    assert formatting.cost(11_776_552, OBJECTIVES["params"]) == "11.78 M"
    assert formatting.cost(8.214, OBJECTIVES["latency"]) == "8.21 ms"
    assert formatting.cost(1234.5, OBJECTIVES["memory"]) == "1,234 MiB"
    assert formatting.cost(None, OBJECTIVES["params"]) == MISSING


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.24, "4.2 s"),
        (45, "45 s"),
        (119, "119 s"),
        (120, "2 min"),
        (3_723, "62 min"),
        (7_200, "2 h"),
        (12_000, "3 h 20 min"),
        (None, MISSING),
    ],
)
def test_durations_are_in_the_largest_units(seconds: float | None, text: str) -> None:
    assert formatting.duration(seconds) == text


def test_numbers_of_things_and_lists_read_as_phrases() -> None:
    assert formatting.plural(1, "trial") == "1 trial"
    assert formatting.plural(1200, "trial") == "1,200 trials"
    assert formatting.enumeration(["a"]) == "a"
    assert formatting.enumeration(["a", "b", "c"]) == "a, b and c"


def test_a_short_architecture_leaves_out_what_a_study_shares() -> None:
    text = "resnet18+se(r=4,start=identity)@s1.residual+eca(start=identity)@s2.post"
    assert formatting.short_architecture(parse(text)) == "se(r=4)@s1.residual+eca@s2.post"
    assert formatting.short_architecture(parse("resnet18")) == "resnet18, bare"


@pytest.mark.parametrize(
    ("places", "phrase"),
    [
        ("", "all attention that `net` itself has"),
        ("@s3", "the attention that `net` itself has in stage 3"),
        ("@s3-s4", "the attention that `net` itself has in stages 3 and 4"),
        ("@s1,s3-s5", "the attention that `net` itself has in stages 1 and 3 to 5"),
        ("@s2b1,s3", "the attention that `net` itself has in s2b1 and s3"),
    ],
)
def test_where_own_attention_is_removed_reads_as_a_phrase(places: str, phrase: str) -> None:
    removed = parse(f"net(attention=none{places})").removed
    assert formatting.removed_attention("net", removed) == phrase


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("the weights of trial 3 are missing", "The weights of trial 3 are missing"),
        ("photos.csv has no column", "photos.csv has no column"),
        ("attentune needs torch", "attentune needs torch"),
        ("--data is missing", "--data is missing"),
        ("", ""),
    ],
)
def test_a_message_becomes_a_sentence_unless_it_begins_with_a_name(message, shown):
    assert formatting.sentence(message) == shown
