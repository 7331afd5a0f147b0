"""Load an object that a command names, such as `my_module:make_model` or `train.py:train`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from .errors import UsageError, did_you_mean

_FILE_MODULE_PREFIX = "attentune_file_"


def load_named_object(reference: str, folder: Path | None = None) -> Any:
    """Import the module of `module:name`, and return the object.

    Args:
        reference: a module as in an import, or the path of a Python file, a colon, and a name in
            it, which may contain dots.
        folder: where modules are looked up besides Python's own path, and what the path of a file
            is relative to; None: the current folder.

    Raises:
        UsageError: the text has another form, the module cannot be imported, or does not have the
            name.
    """
    module_name, colon, name = reference.rpartition(":")
    if not (module_name and colon and name):
        raise UsageError(f"{reference!r} names no object; write my_module:my_function")
    place = Path.cwd() if folder is None else folder
    try:
        value: Any = _import(module_name, place)
    except (Exception, SystemExit) as error:
        where = "its folder has to be the current one or on PYTHONPATH"
        if module_name.endswith(".py"):
            where = f"it is looked for in {place}"
        raise UsageError(
            f"{reference} names the module {module_name!r}, which cannot be imported "
            f"({type(error).__name__}: {error}); {where}"
        ) from error
    for part in name.split("."):
        if not hasattr(value, part):
            public = [member for member in dir(value) if not member.startswith("_")]
            raise UsageError(f"{module_name} has no {name}{did_you_mean(part, public)}")
        value = getattr(value, part)
    return value


def _import(module_name: str, folder: Path) -> ModuleType:
    if not module_name.endswith(".py"):
        add_import_folder(folder)
        return importlib.import_module(module_name)
    path = (folder / module_name).resolve()
    add_import_folder(path.parent)
    name = f"{_FILE_MODULE_PREFIX}{path.stem}"
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def add_import_folder(folder: Path) -> None:
    """Let modules of a folder be imported in this process."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def name_of_object(value: Any) -> str:
    """The text from which `load_named_object` imports an object in another process.

    Args:
        value: a function or a class of a module, or of the script that is run.

    Raises:
        UsageError: another process cannot import it.
    """
    name, module_name = getattr(value, "__qualname__", ""), getattr(value, "__module__", "")
    if not name or "<" in name:
        raise UsageError(
            f"{name or type(value).__name__} cannot be imported by the processes that run trials; "
            "define a function at the top of a module, and pass that"
        )
    if module_name != "__main__":
        return f"{module_name}:{name}"
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None or not Path(file).exists():
        raise UsageError(
            f"{name} is defined in a session, so the processes that run trials cannot import it; "
            "write it into a file, and import it from there"
        )
    return f"{Path(file).resolve()}:{name}"
