"""Make a user's attention, whatever the arguments of its class are called."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from ...errors import AttentionError, UsageError, did_you_mean
from ...sanitize import clean_error

_CHANNELS = {
    *("channels", "channel", "in_channels", "in_channel", "num_channels", "input_channels"),
    *("in_planes", "inplanes", "planes", "gate_channels", "gate_channel", "dim", "in_dim", "inp"),
    *("c", "c1", "ch", "nc", "chan", "in_ch", "n_channels", "in_features", "features", "in_chs"),
    *("d_model", "embed_dim", "cin", "c_in", "in_c", "num_features"),
}
_OUT_CHANNELS = {
    *("c2", "oup", "out_channels", "out_channel", "out_planes", "outplanes", "out_dim", "cout"),
    *("c_out", "out_c", "out_ch", "out_features", "outp", "out_chs"),
}
RATIO_NAMES = {
    *("r", "ratio", "reduction", "reduction_ratio", "reduction_rate", "rd_ratio", "se_ratio"),
    *("squeeze_ratio", "squeeze_factor", "reduce_ratio", "reduce", "reduction_factor"),
}


@dataclass(frozen=True)
class Construction:
    """How an implementation is made.

    Attributes:
        reference: the text that names it.
        make: the class, a function that returns a module, or a module.
        arguments: those of the user, by name.
    """

    reference: str
    make: Any
    arguments: Mapping[str, Any]

    @classmethod
    def of(cls, reference: str, make: Any, arguments: Mapping[str, Any]) -> Construction:
        """Check what a text names.

        Args:
            reference: the text.
            make: what it names.
            arguments: those of the user, by name.

        Raises:
            UsageError: it is neither a class of modules nor makes one.
        """
        if isinstance(make, type) and not issubclass(make, nn.Module):
            raise UsageError(
                f"{reference} is no torch.nn.Module; name a class of modules, or a function that "
                "returns one"
            )
        if not callable(make):
            raise UsageError(
                f"{reference} is a {type(make).__name__}; name a class of modules, or a function "
                "that returns one"
            )
        if isinstance(make, nn.Module) and arguments:
            raise UsageError(f"{reference} is made already, so it takes no --arg")
        return cls(reference, make, arguments)

    @property
    def is_fixed(self) -> bool:
        """Whether it is always made with the same channels."""
        return isinstance(self.make, nn.Module) or not self._channels_parameters()

    @property
    def ratio_parameter(self) -> inspect.Parameter | None:
        """The argument for the reduction ratio."""
        named = [p for p in self._parameters() if p.name in RATIO_NAMES]
        return named[0] if named and named[0].name not in self._first_names() else None

    @property
    def default_ratio(self) -> int | None:
        """The reduction ratio that it has if none is passed."""
        parameter = self.ratio_parameter
        if parameter is None:
            return None
        value = self.arguments.get(parameter.name, parameter.default)
        if isinstance(value, float) and 0 < value < 1:
            return round(1 / value)
        return int(value) if isinstance(value, int | float) and value >= 1 else None

    def __call__(self, channels: int, ratio: int | None = None) -> nn.Module:
        """The module for maps of `channels` channels.

        Args:
            channels: of the map.
            ratio: reduction ratio; None: the default.

        Raises:
            UsageError: it needs an argument of unknown meaning, or has none of a name.
            AttentionError: it raises, or returns no module.
        """
        if isinstance(self.make, nn.Module):
            return copy.deepcopy(self.make)
        arguments = self._arguments(channels, ratio)
        positional = [
            arguments.pop(p.name)
            for p in self._parameters()
            if p.kind is p.POSITIONAL_ONLY and p.name in arguments
        ]
        try:
            module = self.make(*positional, **arguments)
        except (Exception, SystemExit) as error:
            cause = f"{type(error).__name__}: {clean_error(error)}"
            raise AttentionError(f"{self.describe(channels, ratio)} raises {cause}") from error
        if not isinstance(module, nn.Module):
            raise UsageError(
                f"{self.reference} returns a {type(module).__name__}; it has to return a "
                "torch.nn.Module"
            )
        return module

    def describe(self, channels: int, ratio: int | None = None) -> str:
        """How it is made, such as `MyCBAM(channels=64, reduction=16)`."""
        name = getattr(self.make, "__name__", type(self.make).__name__)
        if isinstance(self.make, nn.Module):
            return f"{name}, as it is"
        arguments = self._arguments(channels, ratio)
        return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"

    def _parameters(self) -> list[inspect.Parameter]:
        if isinstance(self.make, nn.Module):
            return []
        try:
            parameters = list(inspect.signature(self.make).parameters.values())
        except (TypeError, ValueError):
            return []
        return [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]

    def _first_names(self) -> set[str]:
        """The name of the first argument, if only its place says what it means."""
        parameters = self._parameters()
        is_first = parameters and parameters[0].default is inspect.Parameter.empty
        return {parameters[0].name} if is_first else set()

    def _channels_parameters(self) -> set[str]:
        names = {p.name for p in self._parameters() if p.name in _CHANNELS} or self._first_names()
        return names - set(self.arguments)

    def _arguments(self, channels: int, ratio: int | None) -> dict[str, Any]:
        parameters = self._parameters()
        names = [p.name for p in parameters]
        takes_any = not isinstance(self.make, nn.Module) and any(
            p.kind is p.VAR_KEYWORD for p in inspect.signature(self.make).parameters.values()
        )
        for name in self.arguments:
            if name not in names and not takes_any:
                raise UsageError(
                    f"{self.reference} has no argument {name!r}{did_you_mean(name, names)}"
                )
        channels_names, ratio_parameter = self._channels_parameters(), self.ratio_parameter
        values: dict[str, Any] = {}
        for parameter in parameters:
            name, required = parameter.name, parameter.default is inspect.Parameter.empty
            if name in self.arguments:
                continue
            if name in channels_names or (required and name in _OUT_CHANNELS):
                values[name] = channels
            elif parameter is ratio_parameter or (ratio_parameter and name == ratio_parameter.name):
                if ratio is not None or required:
                    values[name] = _ratio_value(parameter, ratio or 16)
            elif required:
                raise UsageError(
                    f"{self.reference} needs the argument {name!r}; give it with --arg "
                    f"{name}=VALUE, or name a function that makes the module, such as "
                    "my_module:make"
                )
        return {**values, **self.arguments}


def _ratio_value(parameter: inspect.Parameter, ratio: int) -> float:
    """The argument that means the reduction ratio; a default below 1 is a fraction, as in timm."""
    default = parameter.default
    is_fraction = isinstance(default, float) and 0 < default < 1
    return 1 / ratio if is_fraction else ratio
