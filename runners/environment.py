"""What a trial ran on: versions, device, precision, plug-ins, and attentune's own commit."""

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
    """Name → value, all text, in the order in which a reader wants them.

    Of `attentions`, those that the trial trains, people's own are named with the package, its
    version and the class.
    """
    guests = {f"attention {name}": origin for name, origin in origins_of(attentions).items()}
    return _environment(device, precision, tuple(sorted(guests.items())))


@lru_cache(maxsize=8)
def _environment(
    device: torch.device, precision: str, guests: tuple[tuple[str, str], ...]
) -> dict[str, str]:
    facts = {"device": device_name(device), "precision": precision}
    if device.type == "cpu":  # its name alone may be that of several generations
        facts["instructions"] = torch.backends.cpu.get_cpu_capability()
    facts["threads"] = str(torch.get_num_threads())
    facts["python"] = sys.version.split()[0]
    facts |= {package: _version(package) for package in PACKAGES} | dict(guests)
    if torch.version.cuda:
        facts["cuda"] = torch.version.cuda
    facts["system"] = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    if commit := git_commit():
        facts["attentune commit"] = commit
    return facts


def device_name(device: torch.device) -> str:
    """`NVIDIA …` for a GPU, the processor's name for a CPU."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"{device.type} ({_processor()})" if device.type == "cpu" else device.type


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """The commit of the checkout that attentune runs from, `+` if changed; None elsewhere."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(root, "status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()
