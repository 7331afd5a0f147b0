"""The Dockerfile: it is not built here, but what it copies is there, and the wheel is complete."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from pathlib import Path

import attentune
import pytest

ROOT = Path(attentune.__file__).resolve().parent
if not (ROOT / "Dockerfile").exists():
    pytest.skip("the installed package has no Dockerfile", allow_module_level=True)
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")
IGNORED = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
KEPT = [line[1:] for line in IGNORED if line.startswith("!")]


def is_kept(name: str) -> bool:
    return any(fnmatch.fnmatch(name.partition("/")[0], pattern) for pattern in KEPT)


def test_what_is_copied_from_the_repository_is_there_and_not_ignored():
    assert "*" in IGNORED
    assert all(list(ROOT.glob(pattern)) for pattern in KEPT)
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.M)
    assert copied == [".", "constraints.txt"]
    assert is_kept("constraints.txt")
    assert not is_kept(".git")


def test_all_files_of_the_wheel_are_kept():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = [
        name.split(".")[1] for name in project["tool"]["setuptools"]["packages"] if "." in name
    ]
    files = [project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"]
    modules = [path.name for path in ROOT.glob("*.py")]
    assert [name for name in {*packages, *files, *modules, "py.typed"} if not is_kept(name)] == []


def test_arguments_that_the_documentation_names_exist():
    text = (ROOT / "docs" / "installing.md").read_text("utf-8") + DOCKERFILE
    named = set(re.findall(r"--build-arg '?([A-Z_]+)=", text))
    assert named == set(re.findall(r"^ARG ([A-Z_]+)", DOCKERFILE, re.M))
