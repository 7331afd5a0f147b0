"""Check the labels of a table: whether they are classes, of which every image has one.

Several labels in a cell and measurements would otherwise become classes of their own without a
word. What several labels in a cell are is seen from all cells together: `cat|dog` beside `cat` and
`dog`, but not `goldfish, Carassius auratus`, whose parts are in no other label.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from ....errors import DataError
from ....sanitize import quote_value

SEPARATORS = ("|", ";", ",", "/", "+", "&", "\t", " ")
"""What may stand between several labels in a cell."""
MAX_FRACTIONAL_CLASSES = 20
"""More different numbers with decimals are measurements, however many images there are."""
MIN_PARTS_OF_WORDS = 3
"""Words with spaces between them are usually one name, unless some labels have so many..."""
MIN_COMBINATIONS_OF_WORDS = 2
"""...and there are so many times as many labels as words."""
_MIN_SHARE_MEASURED = 4
"""Measurements are also those that differ in more than one image of so many."""
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?", re.IGNORECASE | re.ASCII)
_WHOLE = re.compile(r"[-+]?\d+", re.ASCII)
_BRACKETS = {"[": "]", "(": ")", "{": "}"}


def check_labels(path: Path, classes: Sequence[str], num_images: int) -> None:
    """Raise a DataError in one sentence if the labels of a table are no classes.

    Args:
        path: of the table.
        classes: the different labels of the training images, sorted.
        num_images: training images.
    """
    _check_spellings(path, classes)
    _check_measurements(path, classes, num_images)
    if all(_is_list(name) for name in classes):
        raise _several_labels(path, classes[-1])
    for separator in SEPARATORS:
        example = _find_combination(classes, separator)
        if example is not None:
            raise _several_labels(path, example)


def describe_numbers(classes: Sequence[str]) -> str | None:
    """A clause on labels that are many whole numbers, but not 0 to n; None if they are not.

    Args:
        classes: the different labels.
    """
    if len(classes) <= MAX_FRACTIONAL_CLASSES or not all(map(_WHOLE.fullmatch, classes)):
        return None
    numbers = sorted(map(int, classes))
    if numbers[0] in (0, 1) and numbers[-1] - numbers[0] == len(numbers) - 1:
        return None
    return (
        f"its {len(numbers):,} labels are numbers from {numbers[0]:,} to {numbers[-1]:,}, each of "
        "which is a class; attentune does not predict measurements"
    )


def _check_spellings(path: Path, classes: Sequence[str]) -> None:
    spellings: dict[str, str] = {}
    for name in classes:
        if (same := spellings.setdefault(name.casefold(), name)) != name:
            raise DataError(
                f"{path} has the labels {same!r} and {name!r}, which differ only in case; write "
                "one of them everywhere"
            )


def _check_measurements(path: Path, classes: Sequence[str], num_images: int) -> None:
    numbers = [name for name in classes if _NUMBER.fullmatch(name)]
    fractions = [name for name in numbers if not _WHOLE.fullmatch(name)]
    if len(fractions) > min(MAX_FRACTIONAL_CLASSES, num_images // _MIN_SHARE_MEASURED):
        raise DataError(
            f"{path} has {len(numbers):,} different numbers as labels, such as {fractions[0]}, for "
            f"{num_images:,} training images; measurements are no classes, and attentune does not "
            "predict them, so sort them into some classes first"
        )


def _several_labels(path: Path, example: str) -> DataError:
    return DataError(
        f"{path} has several labels in one cell, such as {quote_value(example)}, but attentune "
        "trains for one class an image; keep one label of each image, or give each combination a "
        "name of its own if it is a class"
    )


def _is_list(cell: str) -> bool:
    """Whether a cell is a list as Python, JSON or Parquet writes it, perhaps shortened."""
    return len(cell) > 1 and cell[-1] in (_BRACKETS.get(cell[0]), "…") and cell[0] in _BRACKETS


def _find_combination(classes: Sequence[str], separator: str) -> str | None:
    """A label that combines parts which occur in other labels too; None if none does."""
    parts_of = {name: [part.strip() for part in name.split(separator)] for name in classes}
    combined = [name for name, parts in parts_of.items() if len(parts) > 1 and all(parts)]
    if not combined:
        return None
    uses = Counter(part for parts in parts_of.values() for part in set(parts))
    if separator == " " and not _combine_words(parts_of.values(), uses):
        return None
    return next((n for n in combined if all(uses[part] > 1 for part in parts_of[n])), None)


def _combine_words(parts_of: Iterable[Sequence[str]], words: Collection[str]) -> bool:
    """Whether labels with spaces are several labels: numbers, or very many of the same words."""
    labels = list(parts_of)
    if all(_WHOLE.fullmatch(word) for word in words):
        return True
    many = max(map(len, labels)) >= MIN_PARTS_OF_WORDS
    return many and len(labels) > MIN_COMBINATIONS_OF_WORDS * len(words)
