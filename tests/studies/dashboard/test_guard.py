"""Host names and the token decide who may use the dashboard."""

from __future__ import annotations

import pytest
from attentune.studies.dashboard.guard import COOKIE, Guard


def request(guard, **environ):
    """Status, headers and body of a request to the guarded application."""
    response = {}

    def start(status, headers, *_):
        response["status"], response["headers"] = status, dict(headers)

    body = b"".join(guard({"HTTP_HOST": "localhost:8050", "PATH_INFO": "/", **environ}, start))
    return response["status"][:3], response["headers"], body


def inner(environ, start):
    start("200 OK", [])
    return [b"studies"]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8050", "200"),
        ("127.0.0.1", "200"),
        ("[::1]:8050", "200"),
        ("LOCALHOST", "200"),
        ("evil.example:8050", "403"),
        ("localhost.evil.example", "403"),
        ("", "403"),
    ],
)
def test_a_host_name_that_was_not_meant_is_refused(host, status):
    guard = Guard(inner, ("localhost", "127.0.0.1", "::1"), None, "default-src 'self'")
    answered, headers, _ = request(guard, HTTP_HOST=host)
    assert answered == status
    assert (headers.get("Content-Security-Policy") == "default-src 'self'") == (status == "200")


def test_a_token_is_asked_for_once_and_taken_out_of_the_address():
    guard = Guard(inner, (), "secret", "")
    assert request(guard)[0] == "403"
    assert request(guard, QUERY_STRING="token=wrong")[0] == "403"
    assert request(guard, HTTP_COOKIE=f"{COOKIE}=wrong")[0] == "403"
    status, headers, body = request(
        guard, QUERY_STRING="study=a&token=secret", PATH_INFO="//x.example"
    )
    assert (status, headers["Location"], body) == ("303", "/x.example?study=a", b"")
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite=Strict" in headers["Set-Cookie"]
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert request(guard, HTTP_COOKIE=cookie)[2] == b"studies"
