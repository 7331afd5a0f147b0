"""The model card says what the model is, and how its accuracy was measured."""

from __future__ import annotations

from typing import Any

import pytest
from attentune.studies.outputs.export import model_card

FACTS: dict[str, Any] = {
    "attentune": "0.1.0",
    "architecture": "resnet18+se(r=16)@all.residual",
    "num_classes": 10,
    "image_size": 32,
    "stem": "small",
    "study": "first",
    "trial": 7,
    "seed": 0,
    "data": "digits",
    "epochs": 8,
    "judged_on": "validation",
    "values": {"accuracy": 0.7123, "params": 11_776_552, "macs": 1_820_000_000, "latency_ms": 8.2},
}


def test_the_card_has_the_numbers_of_the_report() -> None:
    card = model_card(FACTS)
    assert card.startswith("# resnet18+se(r=16)@all.residual\n")
    assert "| validation accuracy | 71.2 % after 8 epochs |\n| parameters | 11,776,552 |\n" in card
    assert "| latency | 8.2 ms for one image |\n" in card
    assert card.endswith('num_classes=10, stem="small")`.\n')


def test_without_a_latency_its_row_is_left_out() -> None:
    values = {key: value for key, value in FACTS["values"].items() if key != "latency_ms"}
    card = model_card({**FACTS, "values": values, "stem": "native"})
    assert "latency" not in card
    assert card.endswith("num_classes=10)`.\n")


@pytest.mark.parametrize(
    ("split", "advice"),
    [("validation", "so it is optimistic"), ("test", "on images that selected nothing")],
)
def test_the_card_says_what_the_accuracy_was_measured_on(split: str, advice: str) -> None:
    card = model_card({**FACTS, "judged_on": split})
    assert f"| {split} accuracy |" in card
    assert advice in " ".join(card.split())
