"""People's own attention: a decorator, or an entry point of an installed package.

    @attentune.register_attention("wave", title="Wave attention", kind="channel")
    class Wave(nn.Module):
        def __init__(self, channels: int, reduction_ratio: int = 8, waves: int = 2) -> None: …

    [project.entry-points."attentune.attentions"]
    wave = "attentune_wave:Wave"

From then on `wave(r=8,waves=3)` is a name like any other. Options come from the class's signature,
or are declared. Entry points are listed without importing anything; a package is imported when its
name is used. The environment variable ATTENTUNE_PLUGINS names modules to import (commas between
them) that register by decorator, for the command line and its workers, which inherit it.

Everything that can go wrong in somebody else's class is reported with its name and where it came
from, as an AttentuneError. docs/plugins.md is the guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import metadata
from typing import Any, TypeVar

from ....errors import ArchitectureError, AttentuneError
from ..entry import START, Attention, Kind, MapSize, Option, Options
from .environment import MODULES, import_modules
from .signature import Signature

GROUP = "attentune.attentions"
REMEDY = f"install the package, or name its module in {MODULES}"
Class = TypeVar("Class", bound=type)
Count = Callable[[int, Options, MapSize], int]
_registered: dict[str, Attention] = {}


def register_attention(
    name: str,
    *,
    title: str = "",
    paper: str = "",
    kind: Kind = "mixed",
    formula: str = "",
    options: Sequence[Option] | None = None,
    parameters: Count | None = None,
    floor: int = 1,
) -> Callable[[Class], Class]:
    """Make an attention known under `name`: a decorator for its class.

    The class is an `nn.Module` made by `cls(channels, **options)` that maps (N, C, H, W) to the
    same shape. Without `options` they are read from its signature: `reduction_ratio` becomes `r`
    (hidden width `max(floor, C // r)`); bools, ints, floats and `Literal` strings with a default
    become options of their own names. `start` is always there: a class that does not take it is
    blended in, x + a·(attention(x) − x) with a = 0 at first. Without `parameters`, a formula of
    channels, options and map size, the parameters are counted on a module. A name registered twice
    means the later class.

    ArchitectureError for a name that is taken or no word, AttentuneError for a signature that
    cannot be read.
    """

    def register(cls: Class) -> Class:
        facts = {"title": title, "paper": paper, "kind": kind, "formula": formula, "floor": floor}
        _registered[name] = _describe(name, cls, _home(cls), options, parameters, facts)
        _resolve.cache_clear()
        return cls

    if not re.fullmatch(r"[A-Za-z_]\w*", name) or name == "none":
        raise ArchitectureError(f"an attention cannot be called {name!r}; use letters and digits")
    from ..catalogue import ATTENTIONS

    if name in ATTENTIONS:
        raise ArchitectureError(f"{name!r} is in the catalogue already; choose another name")
    return register


def find(name: str) -> Attention | None:
    """Somebody's attention of that name, imported if need be; AttentuneError if it is broken."""
    return _resolve(name) or (_resolve(name) if import_modules() else None)


def listed() -> dict[str, str]:
    """Name → origin of all there are, as far as can be known without importing a package."""
    import_modules()
    registered = {name: entry.origin for name, entry in _registered.items()}
    return dict(sorted({**registered, **{n: _origin(p) for n, p in _points().items()}}.items()))


def offered(name: str) -> bool:
    """Whether somebody's attention of that name is here; see `catalogue.offered`."""
    return name in _registered or name in _points() or (import_modules() and name in _registered)


def absence(missing: Mapping[str, str]) -> str:
    """Names and their origins, which may be unknown and empty, in words to stand after "needs"."""
    known = [repr(name) + (f" of {origin}" if origin else "") for name, origin in missing.items()]
    one = len(known) == 1
    return (
        f"the attention{'' if one else 's'} {' and '.join(known)}, "
        f"which {'is' if one else 'are'} not installed here"
    )


def origins(names: Iterable[str]) -> dict[str, str]:
    """Where the attentions come from that are not of the catalogue: package, version, class."""
    from ..catalogue import ATTENTIONS

    found = {name: find(name) for name in dict.fromkeys(names) if name not in ATTENTIONS}
    return {name: entry.origin for name, entry in found.items() if entry is not None}


@lru_cache(maxsize=1024)
def _resolve(name: str) -> Attention | None:
    registered, point = _registered.get(name), _points().get(name)
    if point is None or (registered is not None and registered.module != point.value):
        return registered
    cls = _import(point)
    origin = _origin(point)
    for entry in _registered.values():
        if entry.module == _home(cls):  # the decorator has said more than the signature does
            return replace(entry, name=name, origin=origin)
    return _describe(name, cls, origin, None, None, {})


@lru_cache(maxsize=1)
def _points() -> Mapping[str, metadata.EntryPoint]:
    """The installed entry points, none of them imported."""
    points: dict[str, metadata.EntryPoint] = {}
    for point in metadata.entry_points(group=GROUP):
        other = points.setdefault(point.name, point)
        if other.value != point.value:
            raise AttentuneError(
                f"two packages offer an attention {point.name!r}: {_origin(other)} and "
                f"{_origin(point)}. Uninstall one of them."
            )
    return points


def _import(point: metadata.EntryPoint) -> type:
    try:
        cls = point.load()
    except Exception as error:
        raise AttentuneError(
            f"the attention {point.name!r} of {_origin(point)} cannot be imported "
            f"({type(error).__name__}: {error}). Repair or uninstall the package."
        ) from error
    if not isinstance(cls, type):
        raise AttentuneError(f"the attention {point.name!r} of {_origin(point)} is not a class.")
    return cls


def _origin(point: metadata.EntryPoint) -> str:
    package = f"{point.dist.name} {point.dist.version}" if point.dist else "a package"
    return f"{package} ({point.value})"


def _home(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _describe(
    name: str,
    cls: type,
    origin: str,
    options: Sequence[Option] | None,
    parameters: Count | None,
    facts: Mapping[str, Any],
) -> Attention:
    """The entry of a class: what the decorator said, and what the class shows of itself."""
    from .factory import PluginFactory  # torch; whoever made the class has it

    signature = Signature.of(cls, f"the attention {name!r} of {origin}")
    declared = signature.options() if options is None else signature.checked(options)
    guest = PluginFactory(name, origin, cls, takes_start="start" in signature.names)
    if all(option.name != "start" for option in declared):
        declared = (*declared, START)
    count = parameters or guest.count

    def counted(channels: int, settings: Options, size: MapSize) -> int:
        blended = not guest.takes_start and settings["start"] == "identity"
        return count(channels, settings, size) + int(blended)

    return Attention(
        name,
        facts.get("title") or (cls.__doc__ or "").strip().partition("\n")[0] or cls.__name__,
        facts.get("paper", ""),
        facts.get("kind", "mixed"),
        facts.get("formula", ""),
        _home(cls),
        counted,
        declared,
        floor=facts.get("floor", 1),
        origin=origin,
        make=guest,
    )
