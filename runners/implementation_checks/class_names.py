"""Which attention of the catalogue a class means by its name."""

from __future__ import annotations

import re

from ...errors import UsageError
from ...spaces.attentions.catalogue import ATTENTIONS

_FILLERS = {
    *("my", "our", "the", "custom", "simple", "paper", "own", "new", "plain"),
    *("attention", "attn", "att", "module", "layer", "block", "gate", "net", "unit", "conv"),
    *("1d", "2d", "nd", "v1", "v2"),
}
"""Words that say nothing about which attention it is."""
_NAMES = {
    "se": ("se", "squeeze excitation", "squeeze and excitation", "squeeze excite"),
    "eca": ("eca", "efficient channel"),
    "cbam": ("cbam", "convolutional block"),
    "ca": ("ca", "coord", "coordinate", "coor", "coordinates"),
    "nl": ("nl", "non local", "nonlocal", "nlb"),
    "gc": ("gc", "global context", "context", "gca", "gcnet"),
    "a2": ("a2", "double", "a 2"),
    "ese": ("ese", "effective se", "effective squeeze excitation", "effective squeeze excite"),
    "channel": ("channel", "cam"),
    "srm": ("srm", "style recalibration"),
    "fca": ("fca", "fcanet", "frequency channel", "multi spectral"),
    "gct": ("gct", "gated channel transformation", "gated channel transform"),
    "lct": ("lct", "linear context transform"),
    "spatial": ("spatial", "sam"),
    "sge": ("sge", "spatial group enhance", "spatial groupwise enhance"),
    "bam": ("bam", "bottleneck"),
    "scse": ("scse", "sc se", "concurrent se", "concurrent squeeze excitation"),
    "triplet": ("triplet",),
    "shuffle": ("shuffle", "sa"),
    "ela": ("ela", "efficient local"),
    "ema": ("ema", "efficient multi scale", "efficient multiscale"),
    "strip": ("strip", "strip pooling", "strip pool"),
    "ge": ("ge", "gather excite", "gather excitation"),
    "simam": ("simam", "sim am"),
    "sk": ("sk", "selective kernel", "sk net", "selective kernels"),
}


def guess_attention(name: str) -> str:
    """The attention that a class is called after: `MyCBAM` and `CBAMBlock` are `cbam`.

    Raises:
        UsageError: the name says none, or several.
    """
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+[a-z]?", name)]
    joined = re.sub(r"[\W_]", "", name).lower()
    meant = set()
    for attention, texts in _NAMES.items():
        for text in (*texts, attention):
            parts = text.split()
            rest = _without(words, parts)
            if rest is not None and set(rest) <= _FILLERS:
                meant.add(attention)
            if joined == "".join(parts):
                meant.add(attention)
    own_class = [e.name for e in ATTENTIONS.values() if e.module.partition(":")[2] == name]
    meant = set(own_class) or meant
    if len(meant) == 1:
        return meant.pop()
    said = f"could be {' or '.join(sorted(meant))}" if meant else "says no attention"
    raise UsageError(
        f"the name {name} {said}; say which it is with --as: {', '.join(sorted(ATTENTIONS))}"
    )


def _without(words: list[str], parts: list[str]) -> list[str] | None:
    """The words without a sequence of words in them; None if it is not there."""
    for first in range(len(words) - len(parts) + 1):
        if words[first : first + len(parts)] == parts:
            return [*words[:first], *words[first + len(parts) :]]
    return None
