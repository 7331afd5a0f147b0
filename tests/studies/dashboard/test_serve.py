"""The server refuses strange hosts before anything is drawn."""

from __future__ import annotations

import pytest
from attentune.errors import StudyError, UsageError
from attentune.studies.dashboard.serve import application, serve


@pytest.mark.parametrize(("host", "status"), [("localhost:8050", "200"), ("evil.example", "403")])
def test_the_application_is_guarded(reader, host, status):
    answers = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "HTTP_HOST": host,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8050",
        "wsgi.url_scheme": "http",
    }
    body = application(reader)(environ, lambda line, headers, *_: answers.append((line, headers)))
    assert (b"attentune" in b"".join(body)) is (status == "200")
    [(line, headers)] = answers
    assert line.startswith(status)
    if status == "200":
        assert "default-src 'self'" in dict(headers)["Content-Security-Policy"]


def test_an_unknown_study_and_a_bad_address_are_stated(store, study, target):
    with pytest.raises(StudyError, match="no study"):
        serve(target, "nowhere", "127.0.0.1", 0, print)
    with pytest.raises(UsageError, match="cannot listen on"):
        serve(target, None, "256.0.0.1", 0, print)
