"""Who may use the dashboard: the size of a request, host names, a token, and security headers.

By default the server listens on the loopback interface. A page of another origin could still make
a browser send requests there under its own host name (DNS rebinding), so the Host header must be a
known one. On any other interface, everybody who can reach it could read the studies, so a token is
required: once in the address, then in a cookie. Browsers send a cookie to all ports of a host, so
its name contains the port: two dashboards on one host keep a cookie each.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from .base_path import ROOT, Application, BasePath

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MAX_BODY_BYTES = 2**20
"""Of a request. The largest one that the pages send has a few thousand."""
MAX_PORT_DIGITS = 5

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


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
        base: the path under which a proxy serves it.
    """

    def __init__(
        self,
        inner: Application,
        hosts: Iterable[str],
        token: str | None,
        policy: str,
        base: BasePath = ROOT,
    ) -> None:
        self.inner, self.hosts, self.token = inner, frozenset(hosts), token
        self.base = base
        self.headers = [
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
        ]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Handle a request."""
        refusal = self._refusal(environ)
        if refusal is not None:
            status, reason = refusal
            headers = [("Content-Type", "text/plain; charset=utf-8"), *self.headers]
            start_response(status, headers)
            return [f"{reason}\n".encode()]
        if self._has_token_in_address(environ):
            return self._redirect(environ, start_response)

        def start_with_headers(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *self.headers], *rest)

        return self.inner(environ, start_with_headers)

    def _refusal(self, environ: Environ) -> tuple[str, str] | None:
        """The status and the reason with which a request is refused; None if it is not."""
        length = str(environ.get("CONTENT_LENGTH") or "0")
        if not (length.isascii() and length.isdecimal()):
            return "400 Bad Request", "The length of the request is not a number."
        if len(length.lstrip("0")) > len(str(MAX_BODY_BYTES)) or int(length) > MAX_BODY_BYTES:
            return "413 Content Too Large", f"A request may have {MAX_BODY_BYTES} bytes."
        if not str(environ.get("QUERY_STRING", "")).isascii():
            return "400 Bad Request", "The address contains characters that have to be encoded."
        if self.hosts and host_of(environ) not in self.hosts:
            return "403 Forbidden", (
                "This dashboard is not served under that host name. Behind a proxy, start it with "
                "--proxy-host NAME."
            )
        if self.token and not (
            self._has_token_in_address(environ)
            or _equal(_cookie(environ, cookie_name(environ)), self.token)
        ):
            return (
                "403 Forbidden",
                "Open the address that the command printed; it contains the token.",
            )
        return None

    def _has_token_in_address(self, environ: Environ) -> bool:
        return bool(self.token) and _equal(_query(environ).get("token", [""])[-1], self.token or "")

    def _redirect(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Store the token in a cookie, and remove it from the address."""
        query = _query(environ)
        query.pop("token")
        # "//host" and "/\\host" would redirect to another host; a line break would end the header.
        path = self.base.address_of(self.base.page_of(environ.get("PATH_INFO", "/")))
        target = quote(path, encoding="latin-1") + (
            f"?{urlencode(query, doseq=True)}" if query else ""
        )
        cookie = (
            f"{cookie_name(environ)}={self.token}; Path={self.base.path}; HttpOnly; SameSite=Strict"
        )
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


def cookie_name(environ: Environ) -> str:
    """The name of the cookie that holds the token: it contains the port that the browser uses."""
    port = str(environ.get("HTTP_HOST", "")).strip().rpartition(":")[2]
    if not (port.isascii() and port.isdecimal() and len(port) <= MAX_PORT_DIGITS):
        port = str(environ.get("SERVER_PORT", ""))
    return f"attentune-{port}"


def _cookie(environ: Environ, name: str) -> str:
    """The value of a cookie; empty if there is none.

    `http.cookies` ends at the first cookie that it cannot read, and other servers of the same host
    may have set any.
    """
    pairs = (text.partition("=") for text in str(environ.get("HTTP_COOKIE", "")).split(";"))
    values = {key.strip(): value.strip() for key, _, value in pairs}
    return values.get(name, "")


def _query(environ: Environ) -> dict[str, list[str]]:
    return parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)


def _equal(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())
