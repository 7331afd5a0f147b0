"""The path under which a proxy serves the dashboard, such as `/user/me/proxy/8050/`.

Jupyter, Colab and other proxies put a path before that of a page. Some remove it before they pass a
request on, and others do not; `WithoutPrefix` makes both the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ...errors import UsageError

_PATH = re.compile(r"(?:/[\w.~%@+-]+)*", re.ASCII)
Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class BasePath:
    """A path that begins and ends with a slash; made by `BasePath.of`."""

    path: str = "/"

    @classmethod
    def of(cls, text: str) -> BasePath:
        """The base path that a user has written, with or without slashes at its ends.

        Raises:
            UsageError: it is no path.
        """
        inner = text.strip().strip("/")
        path = f"/{inner}" if inner else ""
        if not _PATH.fullmatch(path) or ".." in path.split("/"):
            raise UsageError(
                f"--base-path {text!r} is no path; write for example /user/me/proxy/8050/"
            )
        return cls(f"{path}/")

    def address_of(self, page: str) -> str:
        """What the browser asks for to get a page, such as `/effects?study=x`."""
        return self.path + page.lstrip("/")

    def page_of(self, path: str) -> str:
        """The page that a path of the browser names, such as `/effects`."""
        if f"{path}/" == self.path:
            return "/"
        return "/" + path.removeprefix(self.path).lstrip("/")


ROOT = BasePath()
"""That of a server that browsers reach without a proxy."""


class WithoutPrefix:
    """A WSGI application that hands requests on without the base path.

    Args:
        inner: the other application.
        base: the path that is removed from those requests that have it.
    """

    def __init__(self, inner: Application, base: BasePath) -> None:
        self.inner, self.base = inner, base

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Handle a request."""
        path = str(environ.get("PATH_INFO", "/"))
        return self.inner({**environ, "PATH_INFO": self.base.page_of(path)}, start_response)
