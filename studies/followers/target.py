"""Where a study is logged: `tensorboard:runs`, `mlflow:http://localhost:5000`, `wandb:project`."""

from __future__ import annotations

import importlib.util
import shlex
from dataclasses import dataclass
from typing import Literal, get_args

from ...errors import UsageError, did_you_mean
from ...sanitize import hide_passwords

Tool = Literal["tensorboard", "mlflow", "wandb"]
TOOLS: tuple[Tool, ...] = get_args(Tool)
TITLES: dict[Tool, str] = {"tensorboard": "TensorBoard", "mlflow": "MLflow", "wandb": "W&B"}
DEFAULT_FOLDER = "runs"
"""The folder of TensorBoard's event files; the same that torch and most examples use."""
DEFAULT_PROJECT = "attentune"
"""The project at Weights & Biases."""


@dataclass(frozen=True)
class TrackerTarget:
    """An experiment tracker and a place in it.

    Attributes:
        tool: which one.
        place: a folder of event files, a tracking URI, or a project; None: the tool's default.
    """

    tool: Tool
    place: str | None = None

    @classmethod
    def parse(cls, text: str) -> TrackerTarget:
        """The target that a text such as `tensorboard:runs` names.

        Raises:
            UsageError: the tool is unknown, or nothing follows the colon.
        """
        name, colon, place = text.strip().partition(":")
        tool = next((tool for tool in TOOLS if tool == name.lower()), None)
        if tool is None:
            raise UsageError(
                f"{text!r} names no experiment tracker{did_you_mean(name, TOOLS)}. Write "
                "tensorboard:FOLDER, mlflow, mlflow:URI, wandb or wandb:PROJECT"
            )
        if colon and not place.strip():
            raise UsageError(
                f"nothing follows the colon of {text!r}; write {tool} alone, or name "
                f"a {_PLACES[tool]} after it"
            )
        return cls(tool, place.strip() or None)

    def __str__(self) -> str:
        return self.tool if self.place is None else f"{self.tool}:{self.place}"

    @property
    def shown(self) -> str:
        """The text without passwords, for messages."""
        return hide_passwords(str(self))

    @property
    def view_command(self) -> str | None:
        """The command that shows what is logged; None if that depends on the tool's settings."""
        place = None if self.place is None else shlex.quote(hide_passwords(self.place))
        match self.tool:
            case "tensorboard":
                return f"tensorboard --logdir {place or DEFAULT_FOLDER}"
            case "mlflow" if place is None or "://" not in place or "sqlite" in place:
                return "mlflow ui" + (f" --backend-store-uri {place}" if place else "")
        return None

    @property
    def environment(self) -> dict[str, str]:
        """Defaults of environment variables for the process that logs: the follower tries again
        itself, so a tool should soon say that its server is gone."""
        if self.tool != "mlflow":
            return {}
        return {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}

    def require_package(self) -> None:
        """Raise a UsageError if the package of the tool is not installed."""
        spec = importlib.util.find_spec(self.tool)
        # The tools make folders called as their packages. To Python, these are packages too, but
        # without a file.
        if spec is None or spec.origin is None:
            raise UsageError(
                f"{TITLES[self.tool]} is not installed; run `pip install 'attentune[{self.tool}]'`"
            )


_PLACES: dict[Tool, str] = {"tensorboard": "folder", "mlflow": "URI", "wandb": "project"}
