"""Users' own attentions: by a decorator, or by an entry point of an installed package.

    @attentune.register_attention("wave", title="Wave attention", kind="channel")
    class Wave(nn.Module):
        def __init__(self, channels: int, reduction_ratio: int = 8, waves: int = 2) -> None: …

    [project.entry-points."attentune.attentions"]
    wave = "attentune_wave:Wave"

From then on `wave(r=8,waves=3)` is a name like any other. Its options come from the class's
signature, or are declared. Entry points are listed without importing anything; a package is
imported when its name is used. The environment variable ATTENTUNE_PLUGINS names modules to import,
separated by commas, which register by decorator. It serves the command line and its worker
processes, which inherit it.

Whatever goes wrong in a user's class is reported as an AttentuneError with the attention's name and
origin. docs/plugins.md is the guide.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from importlib import metadata
from typing import Any, TypeVar

from ....errors import ArchitectureError, AttentuneError
from ....sanitize import clean_text
from ..catalogue import ATTENTIONS
from ..entry import START, Attention, Kind, MapSize, Option, Options
from .environment import PLUGINS_VARIABLE, import_modules
from .signature import Signature

ENTRY_POINT_GROUP = "attentune.attentions"
REMEDY = f"install the package, or name its module in {PLUGINS_VARIABLE}"
Class = TypeVar("Class", bound=type)
ParameterCount = Callable[[int, Options, MapSize], int]
_registered: dict[str, Attention] = {}


def register_attention(
    name: str,
    *,
    title: str = "",
    paper: str = "",
    kind: Kind = "mixed",
    formula: str = "",
    options: Sequence[Option] | None = None,
    parameters: ParameterCount | None = None,
    floor: int = 1,
) -> Callable[[Class], Class]:
    """Register an attention under `name`: a decorator for its class.

    The class is an `nn.Module` made by `cls(channels, **options)` that maps (N, C, H, W) to the
    same shape. Every attention has the option `start`: a class that does not take it is blended in,
    x + a·(attention(x) − x) with a = 0 at first. Registering a name again replaces the class.

    Args:
        name: the name in architecture texts: letters, digits and underscores.
        title: the long name; by default the first line of the class's docstring.
        paper: authors, venue and number of the paper, for listings.
        kind: what its gates depend on: `channel`, `spatial`, `mixed` or `global`.
        formula: the formula, for listings.
        options: the options, if the signature does not say enough. By default they are read from
            it: `reduction_ratio` becomes `r` (hidden width `max(floor, C // r)`); bools, ints,
            floats and `Literal` strings with a default become options of their own names.
        parameters: the number of parameters, from channels, options and map size (H, W); by default
            they are counted on a module.
        floor: the least hidden width.

    Raises:
        ArchitectureError: for a name that the catalogue has, or that is not a word.
        AttentuneError: when the class is decorated, for a signature that cannot be read.
    """

    def register(cls: Class) -> Class:
        facts = {"title": title, "paper": paper, "kind": kind, "formula": formula, "floor": floor}
        _registered[name] = _describe(name, cls, _path_of(cls), options, parameters, facts)
        _resolve.cache_clear()
        return cls

    if not re.fullmatch(r"[A-Za-z_]\w*", name) or name == "none":
        raise ArchitectureError(f"an attention cannot be called {name!r}; use letters and digits")
    if name in ATTENTIONS:
        raise ArchitectureError(f"{name!r} is in the catalogue already; choose another name")
    return register


def find_registered(name: str) -> Attention | None:
    """The user's attention of that name, imported if necessary; None if there is none.

    Raises:
        AttentuneError: if it is broken.
    """
    return _resolve(name) or (_resolve(name) if import_modules() else None)


def list_registered() -> dict[str, str]:
    """Name → origin of all users' attentions, as far as known without importing a package."""
    import_modules()
    registered = {name: entry.origin for name, entry in _registered.items()}
    installed = {name: _origin(point) for name, point in _entry_points().items()}
    return dict(sorted({**registered, **installed}.items()))


def is_registered(name: str) -> bool:
    """Whether a user's attention of that name is available; see `registry.is_available`."""
    if name in _registered or name in _entry_points():
        return True
    return import_modules() and name in _registered


def describe_missing(missing: Mapping[str, str]) -> str:
    """Names and their origins (empty where unknown), in words that can follow "needs"."""
    names = [repr(name) + (f" of {origin}" if origin else "") for name, origin in missing.items()]
    single = len(names) == 1
    return (
        f"the attention{'' if single else 's'} {' and '.join(names)}, "
        f"which {'is' if single else 'are'} not installed here"
    )


def origins_of(names: Iterable[str]) -> dict[str, str]:
    """Origin (package, version and class) of each of these attentions that is not built in."""
    entries = {n: find_registered(n) for n in dict.fromkeys(names) if n not in ATTENTIONS}
    return {name: clean_text(entry.origin) for name, entry in entries.items() if entry is not None}


@lru_cache(maxsize=1024)
def _resolve(name: str) -> Attention | None:
    registered, point = _registered.get(name), _entry_points().get(name)
    if point is None or (registered is not None and registered.module != point.value):
        return registered
    cls = _import_class(point)
    origin = _origin(point)
    for entry in _registered.values():
        if entry.module == _path_of(cls):  # The decorator's arguments tell more than the signature.
            return replace(entry, name=name, origin=origin)
    return _describe(name, cls, origin, None, None, {})


@lru_cache(maxsize=1)
def _entry_points() -> Mapping[str, metadata.EntryPoint]:
    """The installed entry points by name, none of them imported."""
    points: dict[str, metadata.EntryPoint] = {}
    for point in metadata.entry_points(group=ENTRY_POINT_GROUP):
        first = points.setdefault(point.name, point)
        if first.value != point.value:
            raise AttentuneError(
                f"two packages offer an attention {point.name!r}: {_origin(first)} and "
                f"{_origin(point)}. Uninstall one of them."
            )
    return points


def _import_class(point: metadata.EntryPoint) -> type:
    try:
        cls = point.load()
    except (Exception, SystemExit) as error:
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


def _path_of(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _describe(
    name: str,
    cls: type,
    origin: str,
    options: Sequence[Option] | None,
    parameters: ParameterCount | None,
    facts: Mapping[str, Any],
) -> Attention:
    """The entry of a class, from the decorator's arguments and the class's signature."""
    # Imported here because it needs torch, which listing attentions must not import.
    from .factory import PluginFactory

    signature = Signature.of(cls, f"the attention {name!r} of {origin}")
    declared = signature.options() if options is None else signature.checked(options)
    factory = PluginFactory(name, origin, cls, takes_start="start" in signature.names)
    if all(option.name != "start" for option in declared):
        declared = (*declared, START)
    count = parameters or factory.count_parameters

    def count_with_blend(channels: int, settings: Options, size: MapSize) -> int:
        blended = not factory.takes_start and settings["start"] == "identity"
        return count(channels, settings, size) + int(blended)

    return Attention(
        name,
        facts.get("title") or (cls.__doc__ or "").strip().partition("\n")[0] or cls.__name__,
        facts.get("paper", ""),
        facts.get("kind", "mixed"),
        facts.get("formula", ""),
        _path_of(cls),
        count_with_blend,
        declared,
        floor=facts.get("floor", 1),
        origin=origin,
        make=factory,
    )
