"""Labels that are no classes, several in a cell or measurements, are refused in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from attentune.errors import DataError
from attentune.runners.data.sources.table_labels import check_labels, describe_numbers

TABLE = Path("photos.csv")
CLASSES = {
    "words": ["cat", "dog"],
    "synonyms": ["crane bird", "goldfish, Carassius auratus", "tench, Tinca tinca"],
    "colours": ["black cat", "black dog", "white cat", "white dog"],
    "grades": ["A", "A+", "B"],
    "ratings": [f"{number / 2}" for number in range(1, 11)],
    "negative": ["-1", "0", "1"],
    "a list among words": ["[unclear]", "cat"],
    "paths": ["cats/persian", "cats/siamese", "dogs/pug"],
}
SEVERAL = {
    "bars": ["cat", "cat|dog", "dog"],
    "semicolons": ["cat;dog", "cat; owl", "dog;owl"],
    "commas": ["cat", "cat, dog", "dog"],
    "spaces between numbers": ["0", "16", "16 0"],
    "many words": [
        *("clear", "haze", "water", "clear water", "haze water", "road", "clear road"),
        *("clear road water", "haze road", "haze road water", "road water"),
    ],
    "lists": ["['cat', 'dog']", "['dog']"],
    "long lists": ["['cat', 'dog']", "['cat', 'dog', 'ow…"],
    "JSON": ['["cat"]', '["dog"]'],
    "records": ["{'name': 'cat'}", "{'name': 'dog'}"],
}
MEASUREMENTS = {
    "fractions": [f"{number / 100:.2f}" for number in range(60)],
    "with whole numbers": [f"{number / 2:g}" for number in range(60)],
    "decimal commas": [f"{number},5" for number in range(60)],
    "exponents": [f"{number}e-3" for number in range(60)],
}


@pytest.mark.parametrize("name", CLASSES)
def test_names_of_classes_are_left_alone(name):
    check_labels(TABLE, CLASSES[name], 200)


@pytest.mark.parametrize("name", SEVERAL)
def test_several_labels_in_a_cell_are_refused_with_an_example(name):
    with pytest.raises(DataError, match="several labels in one cell, such as") as caught:
        check_labels(TABLE, SEVERAL[name], 200)
    assert any(label in str(caught.value) for label in SEVERAL[name])
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_measurements_are_refused_however_many_images_there_are(name):
    with pytest.raises(DataError, match=r"60 different.*are no classes"):
        check_labels(TABLE, MEASUREMENTS[name], 100_000)


def test_many_whole_numbers_that_are_no_numbers_of_classes_are_said():
    assert describe_numbers([str(number) for number in range(100)]) is None
    assert describe_numbers([str(number) for number in range(1, 101)]) is None
    assert describe_numbers(["18", "90"]) is None
    ages = describe_numbers([str(number) for number in range(18, 81)])
    assert ages.startswith("its 63 labels are numbers from 18 to 80, each of which is a class")
