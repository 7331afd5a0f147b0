"""Command-line options made from settings, so that no command declares them again.

Typer derives a command's options from its signature. The decorators below write that signature: a
command takes `**settings`, and each setting becomes an option. An option that the user leaves out
is None, so that no default replaces the value of a file or of a stored plan.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Annotated, Any

import typer

from ..setup.settings_from_fields import REQUIRED, Setting, search_settings

Command = Callable[..., None]

_ON_ONLY = {"skip_broken"}
"""Switches without a `--no-` form."""


def search_options(command: Command) -> Command:
    """Give a command all settings of a search as options; `--help` shows them in their groups."""
    return _with_options(
        command,
        (_option(s, None if s.group == REQUIRED else s.group) for s in search_settings()),
    )


def plan_options(*names: str) -> Callable[[Command], Command]:
    """Give a command these settings as options; those left out keep their stored values."""
    settings = {s.name: replace(s, default="unchanged") for s in search_settings()}

    def decorate(command: Command) -> Command:
        return _with_options(command, (_option(settings[name]) for name in names))

    return decorate


def recipe_options(*names: str) -> Callable[[Command], Command]:
    """Give a command these settings of a search as options, with the defaults of a search."""
    settings = {s.name: s for s in search_settings()}

    def decorate(command: Command) -> Command:
        return _with_options(command, (_option(settings[name]) for name in names))

    return decorate


def _with_options(command: Command, options: Iterable[inspect.Parameter]) -> Command:
    """Replace the command's `**settings` by options, which follow its argument."""
    signature = inspect.signature(command, eval_str=True)
    argument, *rest, keywords = signature.parameters.values()
    if keywords.kind is not inspect.Parameter.VAR_KEYWORD:
        raise TypeError(f"{command.__name__} must end with **settings")
    signature = signature.replace(parameters=[argument, *options, *rest])
    command.__signature__ = signature  # type: ignore[attr-defined]
    return command


def _option(setting: Setting, panel: str | None = None) -> inspect.Parameter:
    kind: Any = setting.kind
    if setting.repeated:
        kind = list[kind]
    name = setting.option
    if setting.kind is bool and setting.name not in _ON_ONLY:
        name = f"{name}/--no-{name.removeprefix('--')}"
    option = typer.Option(name, help=setting.help, rich_help_panel=panel, show_default=False)
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=None,
        annotation=Annotated[kind | None, option],
    )
