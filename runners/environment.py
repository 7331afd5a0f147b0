"""Describe what a trial ran on: versions, device, precision, plug-ins, and attentune's commit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import torch

from ..spaces.attentions.plugins.register import origins_of

PACKAGES = ("attentune", "torch", "timm", "optuna", "numpy")


def describe_environment(
    device: torch.device, precision: str, attentions: Iterable[str] = ()
) -> dict[str, str]:
    """Facts by name, all as text, the most important first.

    Args:
        device: where the trial trains.
        precision: as in the recipe.
        attentions: names of the trial's attentions. Those of plug-ins are recorded with their
            package, version and class.
    """
    origins = {f"attention {name}": origin for name, origin in origins_of(attentions).items()}
    return _describe_environment(device, precision, tuple(sorted(origins.items())))


@lru_cache(maxsize=8)
def _describe_environment(
    device: torch.device, precision: str, origins: tuple[tuple[str, str], ...]
) -> dict[str, str]:
    facts = {"device": device_name(device), "precision": precision}
    if device.type == "cpu":  # Several generations of a processor can share one name.
        facts["instructions"] = torch.backends.cpu.get_cpu_capability()
    facts["threads"] = str(torch.get_num_threads())
    facts["python"] = sys.version.split()[0]
    facts |= {package: _installed_version(package) for package in PACKAGES} | dict(origins)
    facts["torch"] = str(torch.__version__)  # A wheel's own version may leave out its CUDA.
    if torch.version.cuda:
        facts["cuda"] = torch.version.cuda
    facts["system"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if commit := git_commit():
        facts["attentune commit"] = commit
    return facts


def device_name(device: torch.device) -> str:
    """The name of the hardware, such as `NVIDIA …` for a GPU; that of the processor for a CPU."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device.type} ({_processor_name()})" if device.type == "cpu" else device.type


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _installed_version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """The commit of the checkout that attentune runs from; None without a checkout.

    A `+` is appended if files have been changed since.
    """
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _run_git(root, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _run_git(root, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _run_git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    return process.stdout.strip()
