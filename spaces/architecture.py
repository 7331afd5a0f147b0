"""The unit of identity: a backbone with attention inserted, and the text that names it.

    resnet50+se(r=16)@all.residual
    resnet18+cbam(r=8)@s3-s4.post+eca@s2b1.mid
    efficientnet_b0(attention=none)+eca@all.mid

`backbone[(attention=none)]`, then `+NAME[(key=value,…)]@PLACE[,PLACE…].POSITION` any number of
times; PLACE is `all`, `sN`, `sN-sM` or `sNbM`, stages and blocks counted from 1.

These are plain frozen values and know nothing of any network: `parse` makes the text regular
(options in order, defaults left out, places merged), and `canonical.canonicalise` goes the last
step with the backbone's sites at hand, so that two texts that build one network become equal.
`parse_recorded` reads what a database holds: it needs the grammar alone, neither the catalogue nor
anybody's plug-in.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from ..errors import ArchitectureError, did_you_mean
from .attentions.entry import Attention, Value
from .attentions.registry import attention

Known = TypeVar("Known")
POSITIONS = ("residual", "mid", "pre", "identity", "post", "stage")
"""Where in a block a module can go; DESIGN's names, the canonical order."""


@dataclass(frozen=True, order=True)
class Place:
    """Some blocks: all (0, 0, 0), stages first–last (block 0), or one block of stage `first`."""

    first: int = 0
    last: int = 0
    block: int = 0

    def __str__(self) -> str:
        if not self.first:
            return "all"
        if self.block:
            return f"s{self.first}b{self.block}"
        return f"s{self.first}" if self.first == self.last else f"s{self.first}-s{self.last}"

    def covers(self, stage: int, block: int) -> bool:
        """Whether this place holds block `block` of stage `stage`."""
        if not self.first:
            return True
        return self.first <= stage <= self.last and self.block in (0, block)


ALL = Place()


def merge_places(places: Iterable[Place]) -> tuple[Place, ...]:
    """The same blocks in the fewest words: ranges joined, single blocks inside them dropped."""
    places = set(places)
    if ALL in places:
        return (ALL,)
    stages = sorted({s for p in places if not p.block for s in range(p.first, p.last + 1)})
    runs: list[list[int]] = []
    for stage in stages:
        if runs and runs[-1][1] == stage - 1:
            runs[-1][1] = stage
        else:
            runs.append([stage, stage])
    blocks = [p for p in places if p.block and p.first not in stages]
    return tuple(sorted([Place(first, last) for first, last in runs] + blocks))


@dataclass(frozen=True)
class Insertion:
    """One attention with its options, at one position of some blocks.

    `options` holds only what differs from the catalogue's defaults, except `r`, which is always
    there for an attention that has a reduction ratio. Make one with `Insertion.of`.
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
        """An insertion in regular form; ArchitectureError for an unknown name or option."""
        entry = attention(name)
        if position not in POSITIONS:
            hint = did_you_mean(position, POSITIONS)
            raise ArchitectureError(f"unknown position {position!r}{hint}")
        return cls(name, _regular_options(entry, options), merge_places(places), position)

    @property
    def settings(self) -> dict[str, Value]:
        """Every option with its value, defaults filled in."""
        return {**attention(self.attention).defaults, **dict(self.options)}

    def __str__(self) -> str:
        options = ",".join(f"{name}={_show(value)}" for name, value in self.options)
        places = ",".join(map(str, self.places))
        return f"{self.attention}{f'({options})' if options else ''}@{places}.{self.position}"


@dataclass(frozen=True)
class Architecture:
    """A backbone and its insertions. `strip_attention` removes the backbone's own first."""

    backbone: str
    insertions: tuple[Insertion, ...] = ()
    strip_attention: bool = False
    key: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha256(str(self).encode()).hexdigest()[:12]
        object.__setattr__(self, "key", digest)

    @classmethod
    def parse(cls, text: str) -> Architecture:
        """Read an architecture text; see `parse`."""
        return parse(text)

    @property
    def bare(self) -> bool:
        """Whether this is the backbone as timm builds it: every study's baseline."""
        return not self.insertions and not self.strip_attention

    def __str__(self) -> str:
        strip = "(attention=none)" if self.strip_attention else ""
        return f"{self.backbone}{strip}" + "".join(f"+{i}" for i in self.insertions)


def parse(text: str) -> Architecture:
    """The architecture that `text` means, in regular form.

    `parse(str(a)) == a` for every architecture. A wrong text raises ArchitectureError, whose
    message says what is wrong, shows where with a caret, and names what would be right.
    """
    return _Parser(text).architecture()


def parse_recorded(text: str) -> Architecture:
    """The architecture that a recorded text names, taken at its word: for looking, not building.

    Attentions and options are not looked up, so nothing has to be installed for it, and a text that
    `str` once made keeps its key whatever has become of the catalogue since. `parse` the text to
    build the network. ArchitectureError only for what breaks the grammar.
    """
    return _Parser(text, at_its_word=True).architecture()


def _regular_options(entry: Attention, options: dict[str, Value]) -> tuple[tuple[str, Value], ...]:
    read: dict[str, Value] = {}
    for name, value in options.items():
        try:
            read[name] = entry.option(name).parse(_show(value))  # 2 for a float becomes 2.0
        except ValueError as error:
            raise ArchitectureError(str(error)) from None
    merged = {**entry.defaults, **read}
    return tuple(
        (name, value)
        for name, value in merged.items()
        if name == "r" or value != entry.defaults[name]
    )


def _show(value: Value) -> str:
    text = str(value)
    if isinstance(value, bool):
        return text.lower()
    return text.replace("e+", "e") if isinstance(value, float) else text  # + begins an insertion


def _by_its_looks(text: str) -> Value:
    """The bool or number that is shown as `text`; the text itself if there is none."""
    if text in ("true", "false"):
        return text == "true"
    kinds: tuple[Callable[[str], Value], ...] = (int, float)
    for kind in kinds if text[-1:].isdecimal() else ():  # not nan, not inf
        try:
            value = kind(text)
        except ValueError:
            continue
        if _show(value) == text:
            return value
    return text


class _Parser:
    """Recursive descent over the grammar in the module's head; every error knows its place.

    `at_its_word` takes the names of attentions and options, and what they are set to, as they come.
    """

    _NAME = re.compile(r"[A-Za-z_][\w.\-/:]*")
    _WORD = re.compile(r"[A-Za-z_]\w*")
    _VALUE = re.compile(r"[\w.\-]+")
    _PLACE = re.compile(r"all\b|s(\d+)b(\d+)|s(\d+)-s(\d+)|s(\d+)")

    def __init__(self, text: str, *, at_its_word: bool = False) -> None:
        self.text = text
        self.at = 0
        self.at_its_word = at_its_word

    def fail(self, message: str, at: int | None = None) -> ArchitectureError:
        return ArchitectureError(message, self.text, self.at if at is None else at)

    def skip(self) -> None:
        while self.text[self.at : self.at + 1].isspace():
            self.at += 1

    def accept(self, character: str) -> bool:
        self.skip()
        if self.text.startswith(character, self.at):
            self.at += 1
            return True
        return False

    def expect(self, character: str, after: str) -> None:
        if not self.accept(character):
            raise self.fail(f"expected {character!r} {after}")

    def match(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        self.skip()
        found = pattern.match(self.text, self.at)
        if not found or not found[0]:
            raise self.fail(f"expected {what}")
        self.at = found.end()
        return found

    def architecture(self) -> Architecture:
        if not self.text.strip():
            raise ArchitectureError("an architecture starts with a backbone, such as resnet18")
        backbone = self.match(self._NAME, "the name of a timm backbone")[0]
        strip = self.strip_clause()
        insertions = []
        while self.accept("+"):
            insertions.append(self.insertion())
        self.skip()
        if self.at < len(self.text):
            raise self.fail("expected '+' and another insertion, or the end of the text")
        return Architecture(backbone, tuple(insertions), strip)

    def strip_clause(self) -> bool:
        if not self.accept("("):
            return False
        start = self.at
        word = self.match(self._WORD, "attention=none")
        if word[0] != "attention":
            raise self.fail("the only setting of a backbone is attention=none", start)
        self.expect("=", "after attention")
        start = self.at
        if self.match(self._VALUE, "none")[0] != "none":
            raise self.fail("attention can only be none: the backbone's own is removed", start)
        self.expect(")", "after attention=none")
        return True

    def insertion(self) -> Insertion:
        self.skip()
        start = self.at
        name = self.match(self._WORD, "the name of an attention, such as se")[0]
        entry = None if self.at_its_word else self.known(attention, name, start)
        options = self.options(entry) if self.accept("(") else {}
        self.expect("@", f"and a place after {name}, as in {name}@all.residual")
        places = [self.place()]
        while self.accept(","):
            places.append(self.place())
        self.expect(".", "and a position after the place, as in @all.residual")
        self.skip()
        start = self.at
        position = self.match(self._WORD, f"a position: {', '.join(POSITIONS)}")[0]
        if position not in POSITIONS:
            hint = did_you_mean(position, POSITIONS)
            raise self.fail(f"unknown position {position!r}{hint}", start)
        if entry is None:
            return Insertion(name, tuple(options.items()), merge_places(places), position)
        return Insertion.of(name, position, places, **options)

    def known(self, look_up: Callable[[str], Known], name: str, at: int) -> Known:
        try:
            return look_up(name)
        except ArchitectureError as error:
            raise self.fail(str(error), at) from None

    def options(self, entry: Attention | None) -> dict[str, Value]:
        options: dict[str, Value] = {}
        while True:
            self.skip()
            start = self.at
            name = self.match(self._WORD, "an option, as in (r=16)")[0]
            read = self.known(entry.option, name, start).parse if entry else _by_its_looks
            if name in options:
                raise self.fail(f"{name} is given twice", start)
            self.expect("=", f"after {name}")
            self.skip()
            start = self.at
            value = self.match(self._VALUE, f"a value for {name}")[0]
            try:
                options[name] = read(value)
            except ValueError as error:
                raise self.fail(str(error), start) from None
            if self.accept(")"):
                return options
            self.expect(",", "or ')' after an option")

    def place(self) -> Place:
        self.skip()
        start = self.at
        found = self.match(self._PLACE, "a place: all, s3, s2-s4 or s3b2")
        if found[0] == "all":
            return ALL
        numbers = [int(group) for group in found.groups() if group is not None]
        if 0 in numbers:
            raise self.fail("stages and blocks are counted from 1", start)
        if found[2]:
            return Place(numbers[0], numbers[0], numbers[1])
        first, last = numbers[0], numbers[-1]
        if first > last:
            raise self.fail(f"s{first}-s{last} runs backwards; write s{last}-s{first}", start)
        return Place(first, last)
