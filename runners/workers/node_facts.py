"""What one machine of a cluster has: versions, GPUs, folders that it can read, its clock.

`describe_node` runs on every node, and is sent there as code, because a node may have another
attentune or none. So it uses Python's own modules only, and returns plain values. Nothing else may
be imported by this module.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PACKAGES = ("ray", "torch", "timm", "attentune")
NOT_INSTALLED = "not installed"
PLUGIN_GROUP = "attentune.attentions"
CODE_FOLDERS = ("spaces", "runners", "studies", "search")
CODE_DIGITS = 8
GPU_SECONDS = 60
HIDING_VARIABLE = "CUDA_VISIBLE_DEVICES"


def describe_node(
    tokens: Mapping[str, str], answer: str, files: Sequence[str], count_gpus: bool
) -> dict[str, Any]:
    """Facts about this machine.

    Args:
        tokens: the text that each of these files, paths or URLs, should have. An answer is written
            beside each.
        answer: the name of the answer's file.
        files: whose content is wanted, as a digest.
        count_gpus: whether to ask torch for GPUs, which takes seconds.

    Returns:
        `versions` by name; `folders`: what is wrong with the folder of each token, or None;
        `files`: SHA-256 of each, or None if it cannot be read; `gpus`: their names, or why torch
        sees none, or None if that was not asked; `time`: seconds since 1970.
    """
    return {
        "versions": _versions(),
        "folders": {token: _answer(token, text, answer) for token, text in tokens.items()},
        "files": {file: _digest(Path(file)) for file in files},
        "gpus": _gpus() if count_gpus else None,
        "time": time.time(),
    }


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = NOT_INSTALLED
    if (code := _code_digest()) is not None:
        versions["attentune"] += f" (code {code})"
    points = importlib.metadata.entry_points(group=PLUGIN_GROUP)
    plugins = {f"{p.name} of {p.dist.name} {p.dist.version}" for p in points if p.dist is not None}
    versions["plug-ins"] = ", ".join(sorted(plugins)) or "none"
    return versions


def _code_digest() -> str | None:
    """A digest of attentune's code, which may differ if the version does not; None without it."""
    spec = importlib.util.find_spec("attentune")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    files = [*root.glob("*.py"), *(f for name in CODE_FOLDERS for f in (root / name).rglob("*.py"))]
    digest = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.relative_to(root).as_posix()):
        content = file.read_bytes().replace(b"\r\n", b"\n")
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + content + b"\0")
    return digest.hexdigest()[:CODE_DIGITS]


def _answer(token: str, text: str, answer: str) -> str | None:
    """What is wrong with the folder of a token; None if it was read, and the answer written."""
    if "://" in token:
        return _answer_at_url(token, text, answer)
    try:
        if Path(token).read_text("utf-8") != text:
            return "has another folder at this path"
        Path(token).with_name(answer).write_text(text, "utf-8")
    except FileNotFoundError:
        return "does not have it"
    except OSError as error:
        return f"cannot read and write it ({error.strerror or error})"
    return None


def _answer_at_url(token: str, text: str, answer: str) -> str | None:
    """As `_answer`, for a URL that fsspec understands. Its implementations have many errors."""
    try:
        import fsspec

        with fsspec.open(token, "rb") as file:
            if file.read() != text.encode():
                return "has other files at this URL"
        with fsspec.open(f"{token.rpartition('/')[0]}/{answer}", "wb") as file:
            file.write(text.encode())
    except FileNotFoundError:
        return "does not have it"
    except ImportError as error:
        return f"lacks a package for it ({error})"
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        return f"cannot read and write it ({reason})"
    return None


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return None


def _gpus() -> list[str] | str:
    """The names of the GPUs that torch sees; or why it sees none.

    Ray hides them from this process, which has asked for none.
    """
    code = (
        "import torch\n"
        "for number in range(torch.cuda.device_count()): print(torch.cuda.get_device_name(number))"
    )
    environment = {name: os.environ[name] for name in os.environ if name != HIDING_VARIABLE}
    try:
        process = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=GPU_SECONDS,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if process.returncode:
        return (process.stderr.strip().splitlines() or ["torch cannot be imported"])[-1]
    return process.stdout.splitlines()
