"""Who may ask the dashboard: host names, a token, and headers that keep browsers careful.

The server listens on the loopback interface. A page of another origin could still send a browser
there under a name of its own (DNS rebinding), so the Host header has to be one that was meant. On
another interface everybody who can reach it could look, so a token is asked for: once in the
address, then in a cookie.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlencode

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COOKIE = "attentune"

Environ = dict[str, Any]
Start = Callable[..., Any]
Application = Callable[[Environ, Start], Iterable[bytes]]


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


class Guard:
    """A WSGI application around another.

    Args:
        hosts: names under which it may be asked for, without port; empty: any.
        token: what the address has to carry; empty: nothing.
        policy: the Content-Security-Policy.
    """

    def __init__(self, inner: Application, hosts: Iterable[str], token: str, policy: str) -> None:
        self.inner, self.hosts, self.token = inner, frozenset(hosts), token
        self.headers = [
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
        ]

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        """Answer a request."""
        if self.hosts and host_of(environ) not in self.hosts:
            return _refuse(start, "This dashboard does not go by that host name.")
        if self.token:
            given = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
            if _same(given.get("token", [""])[-1], self.token):
                given.pop("token")
                return self._welcome(environ, start, urlencode(given, doseq=True))
            cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(COOKIE)
            if cookie is None or not _same(cookie.value, self.token):
                return _refuse(start, "Open the address with the token that the command printed.")

        def begin(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start(status, [*headers, *self.headers], *rest)

        return self.inner(environ, begin)

    def _welcome(self, environ: Environ, start: Start, query: str) -> Iterable[bytes]:
        """Keep the token in a cookie, and take it out of the address."""
        target = environ.get("PATH_INFO", "/") + (f"?{query}" if query else "")
        target = "/" + target.lstrip("/")  # never to another host
        cookie = f"{COOKIE}={self.token}; Path=/; HttpOnly; SameSite=Strict"
        start("303 See Other", [("Location", target), ("Set-Cookie", cookie), *self.headers])
        return [b""]


def host_of(environ: Environ) -> str:
    """The host that a request names, without its port and without brackets, in lower case."""
    host = str(environ.get("HTTP_HOST", "")).strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _refuse(start: Start, why: str) -> Iterable[bytes]:
    start("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{why}\n".encode()]
