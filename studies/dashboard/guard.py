"""Who may use the dashboard: host names, a token, and security headers.

By default the server listens on the loopback interface. A page of another origin could still make
a browser send requests there under its own host name (DNS rebinding), so the Host header must be a
known one. On any other interface, everybody who can reach it could read the studies, so a token is
required: once in the address, then in a cookie.
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
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]


def new_token() -> str:
    """A random token, too long to guess."""
    return secrets.token_urlsafe(24)


class Guard:
    """A WSGI application that checks each request before another application handles it.

    Args:
        inner: the other application.
        hosts: host names by which it may be addressed, without port; empty: any.
        token: what the address must contain; None: nothing.
        policy: the Content-Security-Policy of all responses.
    """

    def __init__(
        self, inner: Application, hosts: Iterable[str], token: str | None, policy: str
    ) -> None:
        self.inner, self.hosts, self.token = inner, frozenset(hosts), token
        self.headers = [
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
        ]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Handle a request."""
        if self.hosts and host_of(environ) not in self.hosts:
            return _refuse(start_response, "This dashboard is not served under that host name.")
        if self.token:
            query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
            if _equal(query.get("token", [""])[-1], self.token):
                query.pop("token")
                return self._redirect(environ, start_response, urlencode(query, doseq=True))
            cookie = SimpleCookie(environ.get("HTTP_COOKIE", "")).get(COOKIE)
            if cookie is None or not _equal(cookie.value, self.token):
                return _refuse(
                    start_response,
                    "Open the address that the command printed; it contains the token.",
                )

        def start_with_headers(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *self.headers], *rest)

        return self.inner(environ, start_with_headers)

    def _redirect(
        self, environ: Environ, start_response: StartResponse, query: str
    ) -> Iterable[bytes]:
        """Store the token in a cookie, and remove it from the address."""
        target = environ.get("PATH_INFO", "/") + (f"?{query}" if query else "")
        target = "/" + target.lstrip("/")  # "//host" would redirect to another host.
        cookie = f"{COOKIE}={self.token}; Path=/; HttpOnly; SameSite=Strict"
        start_response(
            "303 See Other", [("Location", target), ("Set-Cookie", cookie), *self.headers]
        )
        return [b""]


def host_of(environ: Environ) -> str:
    """The host that a request names, without its port and without brackets, in lower case."""
    host = str(environ.get("HTTP_HOST", "")).strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _equal(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())


def _refuse(start_response: StartResponse, reason: str) -> Iterable[bytes]:
    start_response("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{reason}\n".encode()]
