"""Hostile input: texts, architectures, archives and images, TOML."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from attentune.errors import AttentuneError, DataError
from attentune.runners.data import prepare_data
from attentune.runners.recipe import Recipe
from attentune.search.setup.request import read_request
from attentune.spaces.architecture import Architecture, parse

from .attack import AttackRun, Attempt
from .command import check_stated
from .hostile_architectures import ARCHITECTURES
from .hostile_archives import HOSTILE_DATA, IMAGES, mutated_archive
from .hostile_texts import TEXTS, forbidden_in
from .launcher import launcher
from .small_study import SETTINGS, STUDY

SECONDS_TO_REPLY = 10.0
"""Input that is refused is refused in this time, on a busy machine."""
MAX_MESSAGE_CHARACTERS = 25_000
"""The library may repeat an architecture text, which is limited; the command line shortens it."""
PACKINGS = ("tar", "tar.gz", "tar.bz2", "tar.xz", "zip")

WORDS_WITH_TEXT: dict[str, Callable[[str], tuple[str, ...]]] = {
    "name of a new study": lambda text: ("search", text, *SETTINGS, "--trials", "0"),
    "name of a study": lambda text: ("show", text),
    "removed study": lambda text: ("rm", text, "--yes"),
    "data": lambda text: ("search", STUDY, "--backbone", "test_resnet", "--data", text),
    "backbone": lambda text: ("sites", text),
    "architecture": lambda text: ("measure", text, "--no-latency"),
    "attention": lambda text: ("attentions", text),
    "database": lambda text: ("list", "--db", text),
    "objective": lambda text: ("search", STUDY, *SETTINGS, "--objective", text),
    "limit": lambda text: ("search", STUDY, *SETTINGS, "--max-params", text),
    "budget": lambda text: ("resume", STUDY, "--budget", text),
    "space": lambda text: ("search", STUDY, *SETTINGS, "--space", text),
    "configuration": lambda text: ("search", STUDY, "--config", text),
    "pick": lambda text: ("export", STUDY, "-o", "model", "--pick", text),
    "device": lambda text: ("search", STUDY, *SETTINGS, "--device", text),
}
"""By what the text is meant to be: a command with the text in that place."""


def hand_in_texts(run: AttackRun) -> None:
    """Each hostile text in the place of each argument."""
    cases = [f"{place}: {text}" for place in WORDS_WITH_TEXT for text in TEXTS]
    for case in run.each(cases):
        with run.attempt(case) as attempt:
            place, _, name = case.partition(": ")
            ended = launcher().run(*WORDS_WITH_TEXT[place](TEXTS[name]), cwd=attempt.folder)
            check_stated(attempt, ended)
            if forbidden := forbidden_in(ended.out + ended.error):
                attempt.unstated(f"{forbidden} reached the terminal: {ended.shown!a}")


def hand_in_architectures(run: AttackRun) -> None:
    """Architecture texts that are meant to keep the parser busy."""
    for name in run.each([*ARCHITECTURES]):
        with run.attempt(name) as attempt:
            message = refuse_in_time(attempt, lambda name=name: parse(ARCHITECTURES[name]))
            if not message:
                architecture = parse(ARCHITECTURES[name])
                if Architecture.parse(str(architecture)) != architecture:
                    attempt.wrong("its text is another architecture")


def hand_in_data(run: AttackRun) -> None:
    """Archives, folders and images: each hostile one, then archives that are damaged at random."""
    labels = run.label is None or not run.label.startswith("step ")
    for case in itertools.chain(run.each([*HOSTILE_DATA] if labels else []), run.steps()):
        with run.attempt(case) as attempt:
            if isinstance(case, str):
                data = HOSTILE_DATA[case]
                path, images = data.make(attempt.folder), data.images
            else:
                packing, images = attempt.random.choice(PACKINGS), -1
                path = attempt.folder / f"pets.{packing}"
                path.write_bytes(mutated_archive(packing, attempt.random))
            check_data(attempt, path, images)


def check_data(attempt: Attempt, path: Path, images: int | None) -> None:
    """Prepare data, which have to be refused or to have a known number of images.

    Args:
        attempt: that is made.
        path: of the data.
        images: their number; None if they have to be refused, -1 if both may happen.
    """
    recipe = Recipe.of(data=str(path), image_size=16, epochs=1, skip_broken=images == -1)
    try:
        info = prepare_data(recipe)
    except DataError as error:
        if images not in (None, -1):
            attempt.wrong(f"refused: {error}")
        return
    number = sum(info.counts.values())
    if images is None:
        attempt.wrong(f"not refused: {info.counts}")
    elif (images == -1 and number > IMAGES + 1) or images not in (-1, number):
        attempt.wrong(f"{number} images in place of {images}")


VALUES: tuple[str, ...] = (
    *("1", "-1", "0", "1.5", "nan", "inf", "-inf", "true", "1e400", "9" * 5000, "0x10", "1_000"),
    *('""', '"x"', '"auto"', '"\\u001b[31m"', "'''\n'''", "[]", "[1]", '["a", "b"]', "[[]]"),
    *("{}", "{a = 1}", "1979-05-27T07:32:00Z", "07:32:00", '"none"', '"5M"', '"1h"', "[nan]"),
)
"""Values in TOML."""


def hand_in_toml(run: AttackRun) -> None:
    """Configurations with values of wrong types, unknown keys, and bytes that are no TOML."""
    keys = [*setting_names(), "no_such_key", "space", "backbone.x", '"a b"', '"\\u0000"']
    for step in run.steps():
        with run.attempt(step) as attempt:
            path = attempt.folder / "study.toml"
            path.write_bytes(hostile_toml(attempt.random, keys))
            refuse_in_time(attempt, lambda path=path: read_request({}, path))


def hostile_toml(numbers: Random, keys: list[str]) -> bytes:
    """A configuration with some random settings, sometimes damaged.

    Args:
        numbers: random numbers.
        keys: names of settings.
    """
    chosen = numbers.sample(keys, numbers.randint(1, 6))
    lines = [f"{key} = {numbers.choice(VALUES)}" for key in chosen]
    text = "\n".join(['backbone = "test_resnet"', 'data = "digits"', *lines])
    content = bytearray(text.encode(numbers.choice(["utf-8", "utf-8", "utf-8-sig", "utf-16"])))
    match numbers.randrange(8):
        case 0:
            content += 'data_path = "C:\\ü"'.encode("latin-1")
        case 1:
            content[numbers.randrange(len(content))] = numbers.randrange(256)
        case 2:
            content = content[: numbers.randrange(len(content))]
        case 3:
            content += b"\n[space]\n" + b"a = [" * numbers.choice([1, 100, 100_000])
    return bytes(content)


def setting_names() -> list[str]:
    """The keys of a configuration."""
    from attentune.search.setup.request import SearchRequest

    return [*SearchRequest.model_fields]


def refuse_in_time(attempt: Attempt, call: Callable[[], Any]) -> str:
    """Call what may refuse its input in a sentence, at once; return the sentence.

    Args:
        attempt: that is made.
        call: raises an AttentuneError if it refuses.
    """
    began, message = time.process_time(), ""
    try:
        call()
    except AttentuneError as error:
        message = str(error) or "?"
    if (seconds := time.process_time() - began) > SECONDS_TO_REPLY:
        attempt.unstated(f"it took {seconds:.0f} s of computing")
    if len(message) > MAX_MESSAGE_CHARACTERS:
        attempt.unstated(f"the message has {len(message)} characters: {message[:200]!a}")
    return message
