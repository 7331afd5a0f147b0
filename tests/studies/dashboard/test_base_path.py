"""A path that a proxy puts before those of the pages."""

from __future__ import annotations

import pytest
from attentune.errors import UsageError
from attentune.studies.dashboard.base_path import ROOT, BasePath
from attentune.studies.dashboard.serve import application

HUB = "/user/me@x.org/proxy/8050/"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "/"),
        ("/", "/"),
        ("a", "/a/"),
        (" /a/b ", "/a/b/"),
        (HUB, HUB),
        ("/~me/p%20q", "/~me/p%20q/"),
    ],
)
def test_slashes_at_the_ends_may_be_left_out(text, path):
    assert BasePath.of(text).path == path


@pytest.mark.parametrize("text", ["http://x/y", "/a?b", "/a/../b", "/a\r\nb", "a b", "/a//b", "ä"])
def test_what_is_no_path_is_refused(text):
    with pytest.raises(UsageError, match=r"--base-path .* is no path; write for example"):
        BasePath.of(text)


@pytest.mark.parametrize("base", [ROOT, BasePath.of("/a/b")])
@pytest.mark.parametrize("page", ["/", "/effects", "/a", "/b/a"])
def test_a_page_is_found_again_from_its_address(base, page):
    assert base.page_of(base.address_of(page)) == page


def get(guarded, path, query="", host="localhost:1", cookie=""):
    """Status line, headers and body of a request."""
    answers = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "HTTP_HOST": host,
        "HTTP_COOKIE": cookie,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "1",
        "wsgi.url_scheme": "http",
    }
    body = b"".join(guarded(environ, lambda line, headers, *_: answers.append((line, headers))))
    [(line, headers)] = answers
    return line[:3], dict(headers), body.decode()


def test_pages_are_served_with_and_without_the_path(reader):
    guarded = application(reader, base=BasePath.of(HUB))
    for path in ("/", HUB, HUB[:-1], "/_dash-layout", f"{HUB}_dash-layout", f"{HUB}effects"):
        assert get(guarded, path)[0] == "200", path
    page = get(guarded, HUB)[2]
    escaped = HUB.replace("/", r"\u002f")
    assert f'"requests_pathname_prefix":"{escaped}"' in page
    assert f'src="{HUB}_dash-component-suites/' in page


def test_a_token_leads_to_the_page_behind_the_path_and_stays_there(reader):
    guarded = application(reader, base=BasePath.of(HUB), hosts=(), token="secret")
    for path in ("/effects", f"{HUB}effects"):
        status, headers, _ = get(guarded, path, "token=secret&study=x")
        assert status == "303"
        assert headers["Location"] == "/user/me%40x.org/proxy/8050/effects?study=x"
        assert f"Path={HUB};" in headers["Set-Cookie"]
    assert get(guarded, HUB)[0] == "403"
    assert get(guarded, HUB, cookie="attentune-1=secret")[0] == "200"
    assert get(guarded, "//evil.example/x", "token=secret")[1]["Location"].startswith("/user/")


def test_a_proxy_is_named_to_be_let_in(reader):
    status, _, body = get(application(reader), "/", host="hub.example.org")
    assert (status, "--proxy-host NAME" in body) == ("403", True)
    guarded = application(reader, hosts=("localhost", "hub.example.org"))
    assert get(guarded, "/", host="hub.example.org")[0] == "200"
