"""Check the installation: the packages that a search needs, and the devices it would use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from ...errors import AttentuneError
from ..artifacts.store import open_store
from .machine_checks import describe_machine

REPORT = "install attentune again; if that does not help, report it with the output of `doctor`"


@dataclass(frozen=True)
class Check:
    """The outcome of one check.

    Attributes:
        name: what was checked.
        ok: whether a search can use it.
        detail: versions and sizes, or the error.
        advice: what to do about it, as a clause; None: nothing.
    """

    name: str
    ok: bool
    detail: str
    advice: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What `attentune doctor --json` prints of it."""
        return {"name": self.name, "ok": self.ok, "found": self.detail, "advice": self.advice}


def check_installation() -> list[Check]:
    """Run all checks. An error becomes the outcome of its check and is not raised."""
    descriptions: dict[str, Callable[[], str]] = {
        "python": lambda: sys.version.split()[0],
        "torch": _describe_torch,
        "timm": _describe_timm,
        "optuna": lambda: metadata.version("optuna"),
        "devices": _describe_devices,
        "data cache": _describe_cache,
        "a network": _build_network,
    }
    checks = []
    for name, describe in descriptions.items():
        try:
            checks.append(Check(name, True, describe()))
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"
            checks.append(Check(name, False, detail, _advise_on_error(error)))
    try:
        findings = describe_machine()
    except Exception as error:
        return [*checks, Check("machine", False, f"{type(error).__name__}: {error}", REPORT)]
    return checks + [Check(name, True, *finding) for name, finding in findings.items()]


def check_artifacts(location: str) -> Check:
    """Check that the files of trials can be kept somewhere.

    Args:
        location: a folder or URL; see `artifacts.location`.
    """
    try:
        open_store(location).check()
    except AttentuneError as error:
        return Check("artifacts", False, str(error))
    return Check("artifacts", True, f"{location} can be read and written")


def _advise_on_error(error: Exception) -> str:
    """What to do about a check that has failed."""
    if isinstance(error, ModuleNotFoundError | metadata.PackageNotFoundError) and error.name:
        return f"install it into this environment: `pip install {error.name.partition('.')[0]}`"
    if isinstance(error, ImportError):
        return "install it again, in one call with torch, torchvision and timm, so that they fit"
    if isinstance(error, OSError):
        return "look at the permissions of the file or folder, and at the space on its disk"
    return REPORT


def _describe_torch() -> str:
    import torch

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    return f"{torch.__version__} ({build})"


def _describe_timm() -> str:
    from ...spaces.backbones.timm_compat import backbone_names, import_timm

    return f"{import_timm().__version__}, {len(backbone_names()):,} models"


def _describe_devices() -> str:
    import torch

    from ..cores import usable_cores
    from ..environment import device_name

    gpus = [device_name(torch.device("cuda", i)) for i in range(torch.cuda.device_count())]
    return ", ".join([*gpus, f"{usable_cores()} CPU cores ({device_name(torch.device('cpu'))})"])


def _describe_cache() -> str:
    from ...cache_folders import cache_root

    folder = cache_root()
    if not folder.is_dir():
        return f"{folder} (empty)"
    size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    return f"{folder} ({size / 2**20:,.0f} MiB)"


def _build_network() -> str:
    from ..costs import measure

    measurement = measure(
        "test_resnet+cbam(r=4)@all.residual", image_size=64, num_classes=10, latency=False
    )
    if not measurement.costs.params:
        raise AttentuneError(f"{measurement.architecture} has no parameters")
    return f"{measurement.architecture} builds, {measurement.costs.params:,} parameters"
