"""Host names and the token decide who may use the dashboard."""

from __future__ import annotations

import pytest
from attentune.studies.dashboard.guard import MAX_BODY_BYTES, Guard


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
    assert headers["Content-Security-Policy"] == "default-src 'self'"


def test_a_token_is_asked_for_once_and_taken_out_of_the_address():
    guard = Guard(inner, (), "secret", "")
    assert request(guard)[0] == "403"
    assert request(guard, QUERY_STRING="token=wrong")[0] == "403"
    assert request(guard, HTTP_COOKIE="attentune-8050=wrong")[0] == "403"
    status, headers, body = request(
        guard, QUERY_STRING="study=a&token=secret", PATH_INFO="//x.example"
    )
    assert (status, headers["Location"], body) == ("303", "/x.example?study=a", b"")
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite=Strict" in headers["Set-Cookie"]
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert request(guard, HTTP_COOKIE=cookie)[2] == b"studies"


def test_two_dashboards_on_one_host_keep_a_cookie_each():
    first, second = Guard(inner, (), "one", ""), Guard(inner, (), "two", "")
    jar = []
    for guard, host, token in (
        (first, "box:8050", "one"),
        (second, "box:8051", "two"),
    ):
        _, headers, _ = request(guard, HTTP_HOST=host, QUERY_STRING=f"token={token}")
        jar.append(headers["Set-Cookie"].partition(";")[0])
    cookies = "a[]=unreadable; " + "; ".join(jar)
    assert request(first, HTTP_HOST="box:8050", HTTP_COOKIE=cookies)[0] == "200"
    assert request(second, HTTP_HOST="box:8051", HTTP_COOKIE=cookies)[0] == "200"
    assert request(second, HTTP_HOST="box:8050", HTTP_COOKIE=cookies)[0] == "403"
    assert request(first, HTTP_HOST="box", SERVER_PORT="8050", HTTP_COOKIE=cookies)[0] == "200"


@pytest.mark.parametrize(
    ("path", "location"),
    [("/\\evil.example", "/%5Cevil.example"), ("/\r\nX: y", "/%0D%0AX%3A%20y"), ("/\xff", "/%FF")],
)
def test_the_address_after_the_token_is_on_this_host(path, location):
    guard = Guard(inner, (), "secret", "")
    assert request(guard, QUERY_STRING="token=secret", PATH_INFO=path)[1]["Location"] == location


@pytest.mark.parametrize(
    ("length", "status"),
    [
        ("", "200"),
        ("0", "200"),
        (str(MAX_BODY_BYTES), "200"),
        (str(MAX_BODY_BYTES + 1), "413"),
        ("9" * 6000, "413"),
        ("-1", "400"),
        ("1e3", "400"),
        ("²", "400"),
    ],
)
def test_the_size_of_a_request_is_checked_before_anything_else(length, status):
    reached = []
    guard = Guard(lambda *a: (reached.append(1), inner(*a))[1], ("localhost",), None, "policy")
    answered, headers, _ = request(guard, CONTENT_LENGTH=length)
    assert (answered, bool(reached)) == (status, status == "200")
    assert headers["Content-Security-Policy"] == "policy"
    if status != "200":
        assert request(guard, CONTENT_LENGTH=length, HTTP_HOST="evil.example")[0] == status
