"""An architecture: a backbone with attention inserted, and the text that identifies it.

    resnet50+se(r=16)@all.residual
    resnet18+cbam(r=8)@s3-s4.post+eca@s2b1.mid
    efficientnet_b0(attention=none)+eca@all.mid
    efficientnet_b0(attention=none@s3-s4)

`backbone[(attention=none[@PLACE[,PLACE…]])]`, then `+NAME[(key=value,…)]@PLACE[,PLACE…].POSITION`
any number of times; PLACE is `all`, `sN`, `sN-sM` or `sNbM`, stages and blocks counted from 1. In a
network of one's own (`attentune.insert`) an insertion may also be at the path of a module,
`{model.6}`. `attention=none` removes the backbone's own attention, everywhere or at some places.

These are plain frozen values, independent of any network. `parse` normalises a text: options in
order, defaults left out, places merged. `canonical.canonicalise` also uses the backbone's sites, so
that two texts that build the same network become equal. `parse_recorded` reads a text from a
database: it needs only the grammar, and neither the catalogue nor a user's plug-ins.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from ..errors import ArchitectureError, did_you_mean
from .attentions.entry import Attention, Value
from .attentions.registry import get_attention

T = TypeVar("T")
MAX_TEXT_LENGTH = 20_000
MAX_INSERTIONS = 250
MAX_PLACE_DIGITS = 4
"""Limits of an architecture text. A longer one is a mistake, or meant to keep a program busy."""
BACKBONE = re.compile(r"(?:\.{0,2}/)*[A-Za-z_][\w.\-/:]*")
"""A model of timm, `my_module:make_model`, or `folder/my_file.py:make_model`."""
MODULE_PATH = re.compile(r"[\w.]+")
"""The path of a module in a network, as in a state dict."""
POSITIONS = ("residual", "mid", "pre", "identity", "post", "stage")
"""Where in a block an attention can be inserted, in canonical order."""
OWN_REMOVED, OWN = "own removed", "own"
"""Names of an attention and of its position, by which results show that the backbone's own
attention is removed; see `Architecture.changes`. No attention has the first name, because of the
space in it."""


@dataclass(frozen=True, order=True)
class Place:
    """Some blocks of a backbone: all of them, those of consecutive stages, or a single one.

    Attributes:
        first, last: stages, counted from 1; both 0 for all blocks.
        block: counted from 1 in its stage, with `first` equal to `last`; 0 for whole stages.
        module: path of a module of the network, in place of blocks; else empty.
    """

    first: int = 0
    last: int = 0
    block: int = 0
    module: str = ""

    def __str__(self) -> str:
        if self.module:
            return f"{{{self.module}}}"
        if not self.first:
            return "all"
        if self.block:
            return f"s{self.first}b{self.block}"
        return f"s{self.first}" if self.first == self.last else f"s{self.first}-s{self.last}"

    def covers(self, stage: int, block: int) -> bool:
        """Whether this place includes block `block` of stage `stage`."""
        if self.module:
            return False
        if not self.first:
            return True
        return self.first <= stage <= self.last and self.block in (0, block)


ALL = Place()


def merge_places(places: Iterable[Place]) -> tuple[Place, ...]:
    """The same blocks as few places: ranges joined, single blocks inside them dropped."""
    places = set(places)
    modules = sorted(place for place in places if place.module)
    places -= set(modules)
    if ALL in places:
        return (ALL, *modules)
    ranges: list[Place] = []
    for place in sorted(place for place in places if not place.block):
        if ranges and place.first <= ranges[-1].last + 1:
            ranges[-1] = Place(ranges[-1].first, max(ranges[-1].last, place.last))
        else:
            ranges.append(place)
    begins = [place.first for place in ranges]
    blocks = []
    for place in places:
        number = bisect_right(begins, place.first) - 1
        if place.block and (number < 0 or ranges[number].last < place.first):
            blocks.append(place)
    return (*sorted(ranges + blocks), *modules)


@dataclass(frozen=True)
class Insertion:
    """One attention with its options, at one position of some blocks; made by `Insertion.of`.

    Attributes:
        attention: its name in the catalogue.
        options: those that differ from the catalogue's defaults, in the catalogue's order. The
            reduction ratio `r` is always included for attentions that have one.
        places: the blocks.
        position: one of `POSITIONS`.
    """

    attention: str
    options: tuple[tuple[str, Value], ...]
    places: tuple[Place, ...]
    position: str

    @classmethod
    def of(
        cls,
        name: str,
        position: str,
        places: Iterable[Place] = (ALL,),
        **options: Value,
    ) -> Insertion:
        """Make a normalised insertion.

        Args:
            name: of the attention.
            position: one of `POSITIONS`.
            places: the blocks; default: all.
            **options: options of the attention; defaults may be left out.

        Raises:
            ArchitectureError: an unknown attention, position or option, or an illegal value.
        """
        entry = get_attention(name)
        if position not in POSITIONS:
            hint = did_you_mean(position, POSITIONS)
            raise ArchitectureError(f"unknown position {position!r}{hint}")
        return cls(name, _normalise_options(entry, options), merge_places(places), position)

    @property
    def settings(self) -> dict[str, Value]:
        """All options with their values, defaults included."""
        return {**get_attention(self.attention).defaults, **dict(self.options)}

    def __str__(self) -> str:
        options = ",".join(f"{name}={_format_value(value)}" for name, value in self.options)
        places = ",".join(map(str, self.places))
        return f"{self.attention}{f'({options})' if options else ''}@{places}.{self.position}"


@dataclass(frozen=True)
class Architecture:
    """A backbone and its insertions, the unit of identity in a study.

    Attributes:
        backbone: a timm model, or the function that makes a network of one's own.
        insertions: in the order in which they are applied.
        removed: where the backbone's own attention is removed first; `(ALL,)` is everywhere.
        key: the first 12 hexadecimal digits of the SHA-256 of the text.
    """

    backbone: str
    insertions: tuple[Insertion, ...] = ()
    removed: tuple[Place, ...] = ()
    key: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(str(self).encode()).hexdigest()[:12]
        object.__setattr__(self, "key", digest)

    @classmethod
    def parse(cls, text: str) -> Architecture:
        """Parse an architecture text; see the function `parse`."""
        return parse(text)

    @property
    def bare(self) -> bool:
        """Whether this is the backbone as timm builds it, the baseline of every study."""
        return not self.insertions and not self.removed

    @property
    def changes(self) -> tuple[Insertion, ...]:
        """All that differs from the bare backbone, as insertions.

        The removal of own attention is the first of them, an insertion of `OWN_REMOVED` at the
        position `OWN`. So what is learned of insertions is learned of removals, too.
        """
        if not self.removed:
            return self.insertions
        return (Insertion(OWN_REMOVED, (), self.removed, OWN), *self.insertions)

    def __str__(self) -> str:
        return (
            self.backbone
            + _format_removal(self.removed)
            + "".join(f"+{insertion}" for insertion in self.insertions)
        )


def parse(text: str) -> Architecture:
    """Parse an architecture text and normalise it; `parse(str(a)) == a` for all architectures.

    Raises:
        ArchitectureError: the text is wrong. The message says what is wrong, shows where with a
            caret, and suggests what would be right.
    """
    return _Parser(text).architecture()


def parse_recorded(text: str) -> Architecture:
    """Parse a text from a database in order to show it; to build the network, use `parse`.

    Names of attentions and options are not checked. Therefore no plug-in has to be installed, and a
    text that `str` made keeps its key even if the catalogue has changed since.

    Raises:
        ArchitectureError: the text violates the grammar.
    """
    return _Parser(text, check_names=False).architecture()


def _normalise_options(
    entry: Attention, options: dict[str, Value]
) -> tuple[tuple[str, Value], ...]:
    parsed: dict[str, Value] = {}
    for name, value in options.items():
        try:
            # Parsing the text turns an integer for a float option into a float.
            parsed[name] = entry.option(name).parse(_format_value(value))
        except ValueError as error:
            raise ArchitectureError(str(error)) from None
    merged = {**entry.defaults, **parsed}
    return tuple(
        (name, value)
        for name, value in merged.items()
        if name == "r" or value != entry.defaults[name]
    )


def _format_value(value: Value) -> str:
    text = str(value)
    if isinstance(value, bool):
        return text.lower()
    # In an architecture text, the + of 1e+20 would start an insertion.
    return text.replace("e+", "e") if isinstance(value, float) else text


def _format_removal(places: tuple[Place, ...]) -> str:
    """`(attention=none)`, or with places; empty if nothing is removed."""
    if not places or places == (ALL,):
        return "(attention=none)" if places else ""
    return f"(attention=none@{','.join(map(str, places))})"


def _infer_value(text: str) -> Value:
    """The bool or number that `_format_value` writes as `text`; else the text itself."""
    if text in ("true", "false"):
        return text == "true"
    kinds: tuple[Callable[[str], Value], ...] = (int, float)
    for kind in kinds if text[-1:].isdecimal() else ():  # This excludes nan and inf.
        try:
            value = kind(text)
        except ValueError:
            continue
        if _format_value(value) == text:
            return value
    return text


class _Parser:
    """Recursive descent over the grammar in the module's head.

    Args:
        text: to be parsed.
        check_names: look attentions and options up in the catalogue, and check their values.
    """

    _WORD = re.compile(r"[A-Za-z_]\w*")
    _VALUE = re.compile(r"[\w.\-]+")
    _PLACE = re.compile(r"all\b|\{([\w.]+)\}|s(\d+)b(\d+)|s(\d+)-s(\d+)|s(\d+)")

    def __init__(self, text: str, *, check_names: bool = True) -> None:
        self.text = text
        self.offset = 0
        self.check_names = check_names

    def error(self, message: str, offset: int | None = None) -> ArchitectureError:
        return ArchitectureError(message, self.text, self.offset if offset is None else offset)

    def skip_spaces(self) -> None:
        while self.text[self.offset : self.offset + 1].isspace():
            self.offset += 1

    def accept(self, character: str) -> bool:
        self.skip_spaces()
        if self.text.startswith(character, self.offset):
            self.offset += 1
            return True
        return False

    def expect(self, character: str, after: str) -> None:
        if not self.accept(character):
            raise self.error(f"expected {character!r} {after}")

    def match(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        self.skip_spaces()
        match = pattern.match(self.text, self.offset)
        if not match or not match[0]:
            raise self.error(f"expected {what}")
        self.offset = match.end()
        return match

    def architecture(self) -> Architecture:
        if len(self.text) > MAX_TEXT_LENGTH:
            raise ArchitectureError(
                f"an architecture text has at most {MAX_TEXT_LENGTH:,} characters, and this one "
                f"{len(self.text):,}"
            )
        if not self.text.strip():
            raise ArchitectureError("an architecture starts with a backbone, such as resnet18")
        backbone = self.match(BACKBONE, "the name of a timm backbone")[0]
        backbone = re.sub(r"^(\./+)+", "", backbone)
        removed = self.removal()
        insertions: list[Insertion] = []
        while self.accept("+"):
            if len(insertions) == MAX_INSERTIONS:
                raise self.error(f"an architecture has at most {MAX_INSERTIONS} insertions")
            insertions.append(self.insertion())
        self.skip_spaces()
        if self.offset < len(self.text):
            raise self.error("expected '+' and another insertion, or the end of the text")
        return Architecture(backbone, tuple(insertions), removed)

    def removal(self) -> tuple[Place, ...]:
        if not self.accept("("):
            return ()
        start = self.offset
        word = self.match(self._WORD, "attention=none")
        if word[0] != "attention":
            raise self.error("the only setting of a backbone is attention=none", start)
        self.expect("=", "after attention")
        start = self.offset
        if self.match(self._VALUE, "none")[0] != "none":
            raise self.error("attention can only be none: the backbone's own is removed", start)
        places = [ALL]
        if self.accept("@"):
            start = self.offset
            places = self.places()
            if any(place.module for place in places):
                raise self.error("own attention is removed by stage or block, as s3 or s3b2", start)
        self.expect(")", "after attention=none, or '@' and a place, as in attention=none@s3-s4")
        return merge_places(places)

    def insertion(self) -> Insertion:
        self.skip_spaces()
        start = self.offset
        name = self.match(self._WORD, "the name of an attention, such as se")[0]
        entry = self.look_up(get_attention, name, start) if self.check_names else None
        options = self.options(entry) if self.accept("(") else {}
        self.expect("@", f"and a place after {name}, as in {name}@all.residual")
        places = self.places()
        self.expect(".", "and a position after the place, as in @all.residual")
        self.skip_spaces()
        start = self.offset
        position = self.match(self._WORD, f"a position: {', '.join(POSITIONS)}")[0]
        if position not in POSITIONS:
            hint = did_you_mean(position, POSITIONS)
            raise self.error(f"unknown position {position!r}{hint}", start)
        if entry is None:
            return Insertion(name, tuple(options.items()), merge_places(places), position)
        return Insertion.of(name, position, places, **options)

    def look_up(self, find: Callable[[str], T], name: str, offset: int) -> T:
        try:
            return find(name)
        except ArchitectureError as error:
            raise self.error(str(error), offset) from None

    def options(self, entry: Attention | None) -> dict[str, Value]:
        options: dict[str, Value] = {}
        while True:
            self.skip_spaces()
            start = self.offset
            name = self.match(self._WORD, "an option, as in (r=16)")[0]
            parse_value = self.look_up(entry.option, name, start).parse if entry else _infer_value
            if name in options:
                raise self.error(f"{name} is given twice", start)
            self.expect("=", f"after {name}")
            self.skip_spaces()
            start = self.offset
            value = self.match(self._VALUE, f"a value for {name}")[0]
            try:
                options[name] = parse_value(value)
            except ValueError as error:
                raise self.error(str(error), start) from None
            if self.accept(")"):
                return options
            self.expect(",", "or ')' after an option")

    def places(self) -> list[Place]:
        places = [self.place()]
        while self.accept(","):
            places.append(self.place())
        return places

    def place(self) -> Place:
        self.skip_spaces()
        start = self.offset
        match = self.match(self._PLACE, "a place: all, s3, s2-s4 or s3b2")
        if match[0] == "all":
            return ALL
        if match[1] is not None:
            return Place(module=match[1])
        digits = [group for group in match.groups() if group is not None]
        if any(len(number) > MAX_PLACE_DIGITS for number in digits):
            raise self.error(f"a stage or block has at most {MAX_PLACE_DIGITS} digits", start)
        numbers = [int(number) for number in digits]
        if 0 in numbers:
            raise self.error("stages and blocks are counted from 1", start)
        if match[3]:
            return Place(numbers[0], numbers[0], numbers[1])
        first, last = numbers[0], numbers[-1]
        if first > last:
            raise self.error(f"s{first}-s{last} runs backwards; write s{last}-s{first}", start)
        return Place(first, last)
