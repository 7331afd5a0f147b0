"""The family of a timm backbone: the models whose names differ from its own only in their size.

timm says nowhere that `resnet34` is the next larger `resnet18`. Its names do: they consist of the
architecture, of variants of it, and of sizes. A size is a number (`resnet18`, `regnety_002`), a
word (`convnext_nano`), or a letter, alone or before a number (`mixnet_s`, `efficientnet_b0`).
Numbers that say something else are no sizes: versions (`mobilenetv3`), patches and windows
(`vit_tiny_patch16_224`).

Names say which models belong together, but not which of them is larger. That has to be counted; see
`search/setup/alternatives.py`.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

from .timm_compat import backbone_names, import_timm

SIZE_WORDS = frozenset(
    (
        *("zepto", "atto", "femto", "pico", "nano", "micro", "mini", "tiny", "small", "medium"),
        *("base", "large", "huge", "giant", "gigantic", "xxtiny", "xtiny", "xxsmall", "xsmall"),
        *("xlarge", "xxlarge", "x"),
    )
)
SIZE_LETTERS = frozenset(
    ("a", "b", "c", "d", "e", "f", "t", "s", "m", "l", "xxs", "xs", "xl", "xxl", "el", "em", "es")
)
"""Letters that are a size if they stand alone between underscores, or there before a number."""
LETTERS_BEFORE_NO_SIZE = frozenset(("patch", "window", "p", "g", "r"))
"""Letters before a number that is no size; a number after a `v` is a version."""
SIZE = "*"
"""What stands for a size in the pattern of a family."""


def family_pattern(backbone: str) -> tuple[str, ...]:
    """A backbone's name in tokens, with `SIZE` for each size. A family has one pattern.

    >>> family_pattern("mobilenetv3_small_050")
    ('mobilenetv3', '_', '*', '_', '*')

    Args:
        backbone: a timm name, with or without a tag.
    """
    model = re.sub(r"_(x+)_(?=small)", r"_\1", backbone.partition(".")[0])  # edgenext_xx_small
    first, *chunks = model.split("_")
    tokens = _first_chunk_tokens(first)
    for chunk in chunks:
        tokens += ["_", *_chunk_tokens(chunk)]
    return tuple(tokens)


def _first_chunk_tokens(chunk: str) -> list[str]:
    """The tokens of the name of the architecture itself, in which only numbers are sizes."""
    tokens: list[str] = []
    for letters, digits in re.findall(r"([^0-9]*)([0-9]*)", chunk):
        if digits and (letters.endswith("v") or letters in LETTERS_BEFORE_NO_SIZE):
            tokens.append(letters + digits)
        else:
            tokens += filter(None, (letters, digits and SIZE))
    return tokens


def _chunk_tokens(chunk: str) -> list[str]:
    """The tokens of a later part of a name, between underscores."""
    if chunk in SIZE_WORDS | SIZE_LETTERS:
        return [SIZE]
    if (numbered := re.match(r"([a-z]+)[0-9]+", chunk)) and numbered[1] in SIZE_LETTERS:
        return [SIZE, *_first_chunk_tokens(chunk[numbered.end() :])]
    return _first_chunk_tokens(chunk)


def family(backbone: str) -> tuple[str, ...]:
    """The other models of a backbone's family, sorted by name and without tags."""
    model, pattern = backbone.partition(".")[0], family_pattern(backbone)
    return tuple(
        name for name in backbone_names() if name != model and family_pattern(name) == pattern
    )


def extended_family(backbone: str) -> tuple[str, ...]:
    """Models whose names have the same tokens without their sizes, but more sizes, or fewer.

    `mobilenetv4_conv_small_050` has `mobilenetv4_conv_small` in its extended family.
    """
    pattern = family_pattern(backbone)
    return tuple(
        name
        for name in backbone_names()
        if (other := family_pattern(name)) != pattern
        and _without_sizes(other) == _without_sizes(pattern)
    )


def _without_sizes(pattern: tuple[str, ...]) -> list[str]:
    return [token for token in pattern if token not in (SIZE, "_")]


def count_different_tokens(backbone: str, other: str) -> int:
    """The number of words and numbers in which the names of two models differ."""
    words, other_words = (
        re.findall(r"[0-9]+|[^0-9_]+", name.partition(".")[0]) for name in (backbone, other)
    )
    pairs = itertools.zip_longest(words, other_words)
    return sum(word != other_word for word, other_word in pairs)


def with_tag_of(backbone: str, other: str) -> str:
    """Another model with the tag of a backbone, if it has weights of that tag; else without one.

    Args:
        backbone: may have a tag: `resnet18.a1_in1k`.
        other: the name of a model, without a tag.
    """
    tag = backbone.partition(".")[2]
    tagged = f"{other}.{tag}"
    return tagged if tag and tagged in import_timm().list_pretrained(f"{other}.*") else other


def has_pretrained_weights(backbone: str) -> bool:
    """Whether timm publishes weights for a model."""
    config: Any = import_timm().get_pretrained_cfg(backbone)
    return config is not None and bool(config.has_weights)
