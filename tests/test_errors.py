"""Errors: their tree, their exit codes, and messages that name what would be right."""

from __future__ import annotations

import re

import pytest
from attentune import errors
from attentune.errors import ArchitectureError, AttentuneError, TrialError, did_you_mean

CLASSES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, AttentuneError)
]


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes():
    parents: dict[str, str] = {}
    ancestors: list[str] = []
    for line in errors.__doc__.splitlines():
        if match := re.match(r"^    ([│├└─ ]*)(\w+Error)  ", line):
            depth = len(match[1]) // 4
            ancestors[depth:] = [match[2]]
            parents[match[2]] = ancestors[depth - 1] if depth else ""
    assert parents == {
        kind.__name__: "" if kind is AttentuneError else kind.__bases__[0].__name__
        for kind in CLASSES
    }


@pytest.mark.parametrize("kind", CLASSES)
def test_a_wrong_request_exits_with_2_and_a_stated_failure_with_1(kind):
    """What an interrupt has ended exits with 130."""
    if kind is errors.InterruptedWaitError:
        assert kind.exit_code == 130
    else:
        assert kind.exit_code == (2 if issubclass(kind, errors.UsageError) else 1)


def test_an_error_in_a_text_shows_a_caret_under_the_character():
    error = ArchitectureError("unknown attention 'sse'", "resnet18+sse@all.mid", 9)
    assert str(error).splitlines() == [
        "unknown attention 'sse'",
        "  resnet18+sse@all.mid",
        "           ^",
    ]
    assert str(ArchitectureError("no text")) == "no text"


def test_a_failed_trial_carries_its_kind():
    assert TrialError("diverged", "loss is not finite").kind == "diverged"


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("sse", ["se", "ca"], "; did you mean 'se'? known: ca, se"),
        ("xyz", ["se", "ca"], "; known: ca, se"),
        ("name1x", [f"name{n}" for n in range(30)], "; did you mean "),
        ("xyz", [f"name{n}" for n in range(30)], "."),
    ],
)
def test_the_closest_names_are_proposed_and_few_names_are_listed(word, known, hint):
    text = did_you_mean(word, known)
    assert text == hint or (hint.endswith(" ") and text.startswith(hint))
    assert ("known" in text) == (len(known) == 2)
