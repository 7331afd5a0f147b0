"""The server refuses strange hosts before anything is drawn."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

import pytest
from attentune.errors import StudyError, UsageError
from attentune.studies.dashboard.guard import MAX_BODY_BYTES
from attentune.studies.dashboard.serve import application, make_server, serve


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


CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
LARGE = {
    "length": (b"Content-Length: %d\r\n" % (MAX_BODY_BYTES + 1), b"x" * 1000),
    "chunks": (b"Transfer-Encoding: chunked\r\n", CHUNK * (MAX_BODY_BYTES // 0x10000 + 1)),
}


@pytest.mark.parametrize("how", LARGE)
def test_a_large_request_is_refused_before_it_is_read(how):
    reached = []
    server = make_server(lambda *call: reached.append(call), "127.0.0.1", 0)

    def run() -> None:
        with suppress(OSError):  # Its socket is closed under it at the end.
            server.run()

    threading.Thread(target=run, daemon=True).start()
    header, body = LARGE[how]
    try:
        with socket.create_connection(("127.0.0.1", server.effective_port), 60) as connection:
            request = b"POST /_dash-update-component HTTP/1.1\r\nHost: localhost\r\n" + header
            connection.sendall(request + b"\r\n")
            with suppress(OSError):  # The server may hang up before it has read everything.
                connection.sendall(body)
            assert b" 413 " in connection.recv(100)
    finally:
        server.close()
        server.task_dispatcher.shutdown()
    assert reached == []
