"""Search spaces as data: the choices of a study.

A `Space` is a small validated document (TOML, or a preset) that is independent of backbones;
`bound_space.bind_space` applies it to the sites of one.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    StrictInt,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ...errors import ArchitectureError, SpaceError, did_you_mean
from ...files import find_path
from ...toml_files import parse_toml, read_toml
from ..architecture import MODULE_PATH, POSITIONS
from ..attentions.entry import Value
from ..attentions.registry import get_attention

NONE = "none"
"""In a space's attentions: nothing may be inserted."""
KEEP, REMOVE = "keep", "remove"
"""What can be done with the backbone's own attention at a place."""
OwnAttentionPolicy = Literal["keep", "remove", "search"]


class Space(BaseModel):
    """A search space.

    Attributes:
        name: of the preset or file.
        about: one sentence for the user.
        granularity: one choice for the whole network, per stage, or per block.
        stages: choose for these stages only, counted from 1; all if empty. Not with granularity
            `network`.
        attentions: names of the catalogue, and `none`.
        ratios: reduction ratios, for attentions that have one.
        positions: where in a block; positions that a backbone does not have are ignored.
        fallback_positions: the first of these that exists is used where no position does.
        shared: with `attention`, one attention and ratio are chosen for the whole network, and each
            stage or block chooses only whether it is inserted, and at which position.
        start: what modules do before training: `paper` is the published form, `identity` begins
            as the identity.
        options: by attention, further options with their choices.
        modules: choose for each of these modules, by its path, in place of stages and blocks; only
            in a network of one's own. Their positions are `post` and `pre`.
        own_attention: `keep` the backbone's own attention, `remove` all of it first, or `search`
            where to remove it; at the places of `granularity`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str = "custom"
    about: str = ""
    granularity: Literal["network", "stage", "block"] = "stage"
    stages: tuple[int, ...] = ()
    modules: tuple[str, ...] = ()
    own_attention: OwnAttentionPolicy = "keep"
    attentions: tuple[str, ...]
    ratios: tuple[StrictInt, ...] = (4, 8, 16)
    positions: tuple[str, ...] = ("residual",)
    fallback_positions: tuple[str, ...] = ()
    shared: tuple[Literal["attention"], ...] = ()
    start: Literal["paper", "identity"] = "identity"
    options: dict[str, dict[str, tuple[bool | int | float | str, ...]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _read_earlier_form(cls, fields: Any) -> Any:
        """Earlier versions stored `strip_attention`, whether all own attention is removed."""
        if not isinstance(fields, dict) or "strip_attention" not in fields:
            return fields
        policy = REMOVE if fields["strip_attention"] else KEEP
        others = {name: value for name, value in fields.items() if name != "strip_attention"}
        return {"own_attention": policy, **others}

    @field_validator("attentions")
    @classmethod
    def _known_attentions(cls, names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        for name in names:
            if name != NONE:
                get_attention(name)
        if not set(names) - {NONE} and info.data.get("own_attention") != "search":
            raise ValueError(
                "needs at least one attention beside none, unless own attention is searched "
                '(own_attention = "search")'
            )
        return tuple(dict.fromkeys(names))

    @field_validator("modules")
    @classmethod
    def _module_paths(cls, paths: tuple[str, ...]) -> tuple[str, ...]:
        for path in paths:
            if not MODULE_PATH.fullmatch(path):
                raise ValueError(f"{path!r} is no path of a module, such as model.6")
        return tuple(dict.fromkeys(paths))

    @field_validator("ratios")
    @classmethod
    def _positive_ratios(cls, ratios: tuple[int, ...]) -> tuple[int, ...]:
        if any(r < 1 for r in ratios):
            raise ValueError("a reduction ratio is a whole number ≥ 1")
        return tuple(dict.fromkeys(ratios))

    @field_validator("positions", "fallback_positions")
    @classmethod
    def _known_positions(cls, positions: tuple[str, ...]) -> tuple[str, ...]:
        for position in positions:
            if position not in POSITIONS:
                raise ValueError(
                    f"unknown position {position!r}{did_you_mean(position, POSITIONS)}"
                )
        return tuple(dict.fromkeys(positions))

    @field_validator("options")
    @classmethod
    def _legal_options(
        cls, options: dict[str, dict[str, tuple[Value, ...]]]
    ) -> dict[str, dict[str, tuple[Value, ...]]]:
        for name, settings in options.items():
            for key, choices in settings.items():
                if key in ("r", "start"):
                    raise ValueError(f"{name}.{key}: use `ratios` and `start` for these")
                for choice in choices:
                    get_attention(name).option(key).parse(str(choice).lower())
        return options

    @model_validator(mode="after")
    def _check_stages(self) -> Space:
        if self.stages and self.granularity == "network":
            raise ValueError("stages: needs granularity stage or block")
        if self.stages and self.modules:
            raise ValueError("stages and modules: choose for one of the two")
        if self.modules and self.own_attention != "keep":
            raise ValueError("modules: own attention is removed by stage or block; leave out one")
        return self

    @classmethod
    def of(cls, **fields: Any) -> Space:
        """Create a space; SpaceError with one sentence if a field is wrong."""
        try:
            return cls(**fields)
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{part}: " for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise SpaceError(f"search space: {where}{message}") from None


def preset_names() -> list[str]:
    """Names of the presets that come with attentune, sorted."""
    folder = resources.files(f"{__package__}.presets")
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def load_space(source: str, **overrides: Any) -> Space:
    """Load a preset or a TOML file.

    Args:
        source: name of a preset, or path of a file.
        **overrides: fields to replace; None leaves a field as it is.

    Raises:
        SpaceError: there is no such preset or file, or its contents are wrong.
    """
    if source in preset_names():
        content = (resources.files(f"{__package__}.presets") / f"{source}.toml").read_bytes()
        fields = parse_toml(content, source, SpaceError)
    elif source.endswith(".toml") or ((path := find_path(source)) and path.is_file()):
        fields = read_toml(Path(source), SpaceError)
    else:
        hint = did_you_mean(source, preset_names())
        raise SpaceError(f"unknown search space {source!r}{hint} — or give a .toml file")
    fields.setdefault("name", Path(source).stem)
    try:
        return Space.of(**{**fields, **{k: v for k, v in overrides.items() if v is not None}})
    except ArchitectureError as error:
        raise SpaceError(f"search space {source}: {error}") from None
