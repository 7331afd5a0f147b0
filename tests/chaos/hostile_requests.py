"""Thousands of hostile requests to the dashboard, made at random from a seed.

They are derived from the requests that a browser sends: `browser_requests` builds those from the
application's own list of callbacks, and `hostile_requests` changes their bodies, paths, query
strings, headers and methods. `send_all` sends them to the WSGI application and collects
what must not happen: a status of 500 or more, an exception, a message in the log.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from attentune.studies.dashboard.app import SLOT_NAMES

CALLBACK_PATH = "/_dash-update-component"
MAX_BODY_BYTES = 2**20

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class HostileRequest:
    """A request; `path` is what PATH_INFO holds: bytes, decoded as Latin-1."""

    path: str = CALLBACK_PATH
    method: str = "POST"
    query: str = ""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def environ(self) -> dict[str, Any]:
        """The WSGI environment of the request."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query.encode().decode("latin-1"),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "8050",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_HOST": "localhost:8050",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(self.body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(self.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        return environ | dict(self.headers)


@dataclass(frozen=True)
class Response:
    """What the application replies; `logged` are the messages and `wsgi.errors` meanwhile."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    logged: tuple[str, ...] = ()


class _Messages(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


def send(application: Application, request: HostileRequest) -> Response:
    """Send one request to a WSGI application; an exception counts as status 599."""
    messages, started = _Messages(), []
    environ = request.environ()
    logging.getLogger().addHandler(messages)
    try:
        chunks = application(environ, lambda status, headers, *_: started.append((status, headers)))
        body = b"".join(chunks)
        getattr(chunks, "close", lambda: None)()
        status, headers = started[0]
        code = int(status.split()[0])
    except Exception as error:
        return Response(599, {}, repr(error).encode(), tuple(messages.texts))
    finally:
        logging.getLogger().removeHandler(messages)
    errors = environ["wsgi.errors"].getvalue()
    return Response(code, dict(headers), body, (*messages.texts, *([errors] if errors else [])))


@dataclass(frozen=True)
class Replies:
    """How the application replied: the number of requests by status, and those that broke it."""

    statuses: Mapping[int, int]
    broken: Sequence[tuple[HostileRequest, Response]]

    @property
    def tried(self) -> int:
        """The number of requests."""
        return sum(self.statuses.values())


def send_all(application: Application, requests: Iterable[HostileRequest]) -> Replies:
    """Send all requests; those with a status of 500 or more, or a message logged, are broken."""
    statuses: dict[int, int] = {}
    broken = []
    for request in requests:
        response = send(application, request)
        statuses[response.status] = statuses.get(response.status, 0) + 1
        if response.status >= 500 or response.logged:
            broken.append((request, response))
    return Replies(dict(sorted(statuses.items())), broken)


# --- what a browser sends -------------------------------------------------------------------------

PROPERTY_VALUES: dict[str, Any] = {
    "timer.n_intervals": 7,
    "url.search": "?study=first&trial=2&cost=macs&attention=se~cbam",
    "url.pathname": "/",
    "version.data": "2:1.1",
    "status.children": "10 trials done",
    "study.data": "first",
    "compared.data": [],
    "theme.data": "light",
    "written.data": None,
    "study-picker.value": "young",
}
PROPERTY_VALUES |= {
    "star-button.n_clicks": None,
    "save-marks.n_clicks": 1,
    "mark-tags.value": "good, small",
    "mark-note.value": "with 224 px",
    "edited.data": "",
}
CONTROL_VALUES: dict[str, Any] = {
    "cost": "params",
    "third": "macs",
    "log": 0,
    "colour": "attention",
    "attention": ["se"],
    "position": [],
    "stage": [],
    "ratio": [],
    "state": ["pruned"],
    "search": "se s3",
    "sort": "-params",
    "columns": ["number", "score"],
    "curve": "val_loss",
    "first": 1,
    "second": 0,
    "trial": 3,
    "compared": ["young"],
}
BOX = {"points": [], "range": {"x": [-0.2, 0.3], "y": [0.2, 1.1]}}
CLICK = {"points": [{"curveNumber": 1, "pointNumber": 0, "x": 1040, "customdata": 4}]}


def browser_requests(application: Application) -> list[HostileRequest]:
    """One harmless request for each callback that the server computes, and for each slot."""
    dependencies = json.loads(
        send(application, HostileRequest("/_dash-dependencies", "GET", headers={})).body
    )
    bodies = [
        body
        for dependency in dependencies
        if not dependency["clientside_function"]
        for body in _bodies(dependency)
    ]
    return [HostileRequest(body=json.dumps(body).encode()) for body in bodies]


def _bodies(dependency: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    output = dependency["output"]
    inputs = [_properties(item) for item in dependency["inputs"]]
    body: dict[str, Any] = {
        "output": output,
        "inputs": inputs,
        "changedPropIds": ["url.search"],
        "parsedChangedPropsIds": ["url.search"],
    }
    if dependency["state"]:
        body["state"] = [_properties(item) for item in dependency["state"]]
    if '"slot"' in output:
        slot = json.loads(output.rpartition(".")[0])["slot"]
        for name in sorted(SLOT_NAMES[slot]):
            spec = {"id": {"name": name, "slot": slot}, "property": output.rpartition(".")[2]}
            yield body | {"outputs": spec}
        return
    specs = [
        dict(zip(("id", "property"), text.split("."), strict=True))
        for text in output.strip(".").split("...")
    ]
    yield body | {"outputs": specs if output.startswith("..") else specs[0]}


def _properties(item: Mapping[str, str]) -> Any:
    """One input or state with a value; a list of them for a pattern."""
    name, prop = item["id"], item["property"]
    if not name.startswith("{"):
        return {"id": name, "property": prop, "value": PROPERTY_VALUES[f"{name}.{prop}"]}
    if "control" in json.loads(name):
        ids = [{"control": control} for control in CONTROL_VALUES]
        values = [id_ if prop == "id" else CONTROL_VALUES[id_["control"]] for id_ in ids]
    else:
        names = ("parallel-coordinates" if prop == "selectedData" else "pareto", "slices")
        ids = [{"name": graph, "slot": "graph"} for graph in names]
        values = [BOX if prop == "selectedData" else CLICK, None]
    return [
        {"id": id_, "property": prop, "value": value}
        for id_, value in zip(ids, values, strict=True)
    ]


# --- what an attacker sends -----------------------------------------------------------------------

HOSTILE_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**31,
    2**63,
    10**30,
    10**400,
    1e308,
    -0.0,
    1.5,
    "",
    "x",
    " ",
    "x" * 10_000,
    "x" * 300_000,
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff?study=\ud800",
    "é" * 50,
    "\u202e\u2028\ufeff",
    "\x1b]0;title\x07\x1b[31m",
    "../../../../etc/passwd",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "' OR 1=1 --",
    "__class__",
    "undefined.data",
    "..a.b...c.d..",
    '{"control":["ALL"]}.value',
    '{"control":',
    "figure.data",
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"id": "url"},
    {"points": None},
    {"points": [{}]},
    {"points": [{"customdata": 10**30}]},
    {"points": [{"customdata": True}]},
    {"points": "xyz"},
    ["se", 1, None],
    [["se"]],
    {"control": "cost"},
    {"control": ["ALL"]},
    {"slot": "figure", "name": "nothing"},
    {"slot": "figure", "name": "study-99999999999999999999"},
    {"slot": "figure", "name": "study--1"},
    {"slot": "figure", "name": "study-²"},
    {"slot": "text", "name": "__init__"},
    {"slot": "graph", "name": ["MATCH"]},
    list(range(2000)),
    ["x"] * 2000,
)
QUERIES = (
    "",
    "?",
    "study=first",
    "study=first&trial=1",
    "study=nowhere",
    "study=",
    "study=%00",
    "study=%ed%a0%80",
    "study=%ff%fe",
    "study=" + "x" * 5000,
    "study=first&trial=999999999",
    "study=first&trial=9999999999999999999999",
    "study=first&trial=-1",
    "study=first&trial=1e3",
    "study=first&trial=²",
    "study=first&trial=٣",
    "study=first&cost=accuracy",
    "study=first&cost=__class__",
    "study=first&cost=%00&third=accuracy",
    "study=first&cost=latency_ms&third=memory_mib&log=1",
    "study=first&third=accuracy",
    "study=first&colour=nothing",
    "study=first&attention=" + "se~" * 3000,
    "study=first&attention=%00~%ff",
    "study=first&stage=s~sx~s999999999999999999999~s-1~s²~s٣",
    "study=first&ratio=0~-1~x~1e9",
    "study=first&position=~~~",
    "study=first&with=first~first~young~nowhere~%00",
    "study=first&with=" + "young~" * 500,
    "&".join(f"k{i}={i}" for i in range(3000)),
    "a=1;b=2;;;",
    "=&=&=",
    "study=first&study=young",
    "token=x",
    "study[]=x&study[$ne]=1",
)
PATHS = (
    "/",
    "//",
    "///evil.example/",
    "/\\evil.example",
    "/effects",
    "/history",
    "/attention-maps",
    "/compare",
    "/confirmation",
    "/matters",
    "/nowhere",
    "/../../etc/passwd",
    "/..",
    "/.%2e/",
    "/\x00",
    "/a\x00b",
    "/\r\nSet-Cookie: a=b",
    "/\xff\xfe",
    "/" + "a/" * 3000,
    "/assets/",
    "/assets/dashboard.css",
    "/assets/../app.py",
    "/assets/..%2fapp.py",
    "/assets/\x00",
    "/assets/dashboard.css\x00.js",
    "/assets/\xff",
    "/assets/" + "x" * 5000,
    "/assets//etc/passwd",
    "/assets/C:\\windows\\win.ini",
    "/_dash-component-suites",
    "/_dash-component-suites/",
    "/_dash-component-suites/dash/",
    "/_dash-component-suites/dash/nothing.js",
    "/_dash-component-suites/dash/dash.py",
    "/_dash-component-suites/dash/../../flask/app.py",
    "/_dash-component-suites/dash/dcc/../dash.py",
    "/_dash-component-suites/dash/dcc/dash_core_components.v0m1.js",
    "/_dash-component-suites/dash/dcc/dash_core_components",
    "/_dash-component-suites/dash/\x00.js",
    "/_dash-component-suites/os/path.js",
    "/_dash-component-suites/nothing/x.js",
    "/_dash-component-suites/plotly/package_data/plotly.min.js.map",
    "/_dash-component-suites/plotly/package_data/../__init__.py",
    "/_dash-component-suites/__main__/x",
    "/_dash-component-suites/\xff/\xff",
    "/_dash-layout",
    "/_dash-dependencies",
    "/_dash-config",
    "/_reload-hash",
    "/_favicon.ico",
    "/_alive_x",
    "/_dash-ws-callback",
    "/_dash-update-component/",
    "/_dash-update-component/x",
    "/favicon.ico",
    "/robots.txt",
    "/_mcp",
    "/static/x",
    "/cgi-bin/x",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO", "")
HEADERS: tuple[Mapping[str, str], ...] = (
    {"CONTENT_TYPE": ""},
    {"CONTENT_TYPE": "text/plain"},
    {"CONTENT_TYPE": "application/json; charset=utf-16"},
    {"CONTENT_TYPE": "application/json; charset=nothing"},
    {"CONTENT_TYPE": "application/x-www-form-urlencoded"},
    {"CONTENT_TYPE": "multipart/form-data"},
    {"CONTENT_TYPE": "multipart/form-data; boundary=" + "x" * 500},
    {"CONTENT_TYPE": "\x00/\xff;;;="},
    {"CONTENT_TYPE": "application/" + "x" * 10_000},
    {"CONTENT_LENGTH": ""},
    {"CONTENT_LENGTH": "0"},
    {"CONTENT_LENGTH": "-1"},
    {"CONTENT_LENGTH": "abc"},
    {"CONTENT_LENGTH": "1e9"},
    {"CONTENT_LENGTH": "²"},
    {"CONTENT_LENGTH": " 12 "},
    {"CONTENT_LENGTH": "1_0"},
    {"CONTENT_LENGTH": "+5"},
    {"CONTENT_LENGTH": "9" * 30},
    {"CONTENT_LENGTH": "9" * 6000},
    {"CONTENT_LENGTH": str(MAX_BODY_BYTES + 1)},
    {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"},
    {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": "1"},
    {"HTTP_TRANSFER_ENCODING": "gzip, chunked, \xff"},
    {"HTTP_CONTENT_ENCODING": "gzip"},
    {"HTTP_COOKIE": "attentune=x; a=b; \x00=\xff"},
    {"HTTP_COOKIE": 'a[]=b; é=ü; =; ;;; $x=1; attentune-8050="\\777"'},
    {"HTTP_COOKIE": "a=" + "b" * 20_000},
    {"HTTP_COOKIE": 'x="' + "\\" * 2000},
    {"HTTP_HOST": ""},
    {"HTTP_HOST": "evil.example"},
    {"HTTP_HOST": "localhost:99999999"},
    {"HTTP_HOST": "localhost:abc"},
    {"HTTP_HOST": "localhost:\xb2"},
    {"HTTP_HOST": "[::1"},
    {"HTTP_HOST": "[::1]:8050"},
    {"HTTP_HOST": "]:"},
    {"HTTP_HOST": "\x00"},
    {"HTTP_HOST": "localhost/evil"},
    {"HTTP_HOST": "user@localhost"},
    {"HTTP_HOST": "localhost:8050, evil.example"},
    {"HTTP_HOST": "\xff" * 300},
    {"HTTP_X_FORWARDED_HOST": "evil.example", "HTTP_X_FORWARDED_FOR": "\x00"},
    {"HTTP_ORIGIN": "http://evil.example", "HTTP_REFERER": "\xff\x00"},
    {"HTTP_RANGE": "bytes=9999999999999-"},
    {"HTTP_RANGE": "bytes=-" + "9" * 5000},
    {"HTTP_IF_MODIFIED_SINCE": "Mon, 99 Foo 99999 99:99:99 GMT"},
    {"HTTP_IF_NONE_MATCH": '"' * 99},
    {"HTTP_IF_RANGE": "\xff"},
    {"HTTP_ACCEPT": "*/*;q=nan, \xff"},
    {"HTTP_AUTHORIZATION": "Basic \xff\xff"},
    {"HTTP_EXPECT": "100-continue"},
    {"REQUEST_URI": "http://evil.example/\x00", "RAW_URI": "*"},
)


def hostile_requests(
    harmless: Sequence[HostileRequest], *, count: int, seed: int = 0
) -> Iterator[HostileRequest]:
    """A given number of hostile requests, the same ones for the same seed.

    Args:
        harmless: what a browser sends (`browser_requests`).
        count: how many to make.
        seed: of the random choices.
    """
    rng = random.Random(seed)
    fixed = list(_fixed_requests(harmless))
    rng.shuffle(fixed)
    kinds = (_changed_tree, _changed_tree, _changed_tree, _damaged_body, _changed_query, _mixed)
    for index in range(count):
        if fixed and index % 3 == 0:
            yield fixed.pop()
        else:
            yield rng.choice(kinds)(rng, rng.choice(harmless))


def _fixed_requests(harmless: Sequence[HostileRequest]) -> Iterator[HostileRequest]:
    """Every path, method, query string and header at least once."""
    for path in PATHS:
        yield HostileRequest(path, "GET")
        yield HostileRequest(path, "POST", body=harmless[0].body)
    for method in METHODS:
        yield HostileRequest("/", method)
        yield replace(harmless[0], method=method)
    for query in QUERIES:
        yield HostileRequest("/", "GET", query)
        yield replace(harmless[0], query=query)
    for headers in HEADERS:
        yield HostileRequest("/", "GET", headers=headers)
        yield replace(harmless[-1], headers=headers)
    for body in _RAW_BODIES:
        yield HostileRequest(body=body)


_RAW_BODIES = (
    b"",
    b"null",
    b"[]",
    b"{}",
    b"1",
    b'"x"',
    b"NaN",
    b"{",
    b'{"output": "page.children"}',
    b'{"output": 1}',
    b'{"output": null, "outputs": null}',
    b'{"output": {"a": 1}}',
    b'{"output": ["a"]}',
    b'{"output": "page.children", "outputs": [], "inputs": null, "state": null}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"[" * 900 + b"]" * 900,
    b'{"output": ' + b"[" * 150 + b"]" * 150 + b"}",
    b"9" * 5000,
    b'{"output": ' + b"9" * 5000 + b"}",
    b"1e" + b"9" * 50,
    b"\xff\xfe\x00\x00",
    b"\xef\xbb\xbf{}",
    '{"output": "page.children"}'.encode("utf-16"),
    b"\x00" * 1000,
    b'{"output": "\\ud800"}',
    b"x" * (MAX_BODY_BYTES + 1),
    b'{"output": "' + b"x" * MAX_BODY_BYTES + b'"}',
    b" " * MAX_BODY_BYTES,
)


def _changed_tree(rng: random.Random, request: HostileRequest) -> HostileRequest:
    """Values of the JSON body deleted, replaced, repeated or wrapped at random places."""
    tree = copy.deepcopy(json.loads(request.body))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        parents = list(_containers(tree))
        if not parents:
            break
        parent = rng.choice(parents)
        key = rng.choice(list(parent) if isinstance(parent, dict) else range(len(parent)))
        match rng.randrange(6):
            case 0:
                del parent[key]
            case 1:
                parent[key] = [parent[key]]
            case 2 if isinstance(parent, list):
                parent.append(parent[key])
            case 3 if isinstance(parent, dict):
                parent[str(rng.choice(HOSTILE_VALUES))[:50]] = parent[key]
            case 4:
                parent[key] = {"id": parent[key]}
            case _:
                parent[key] = copy.deepcopy(rng.choice(HOSTILE_VALUES))
    return replace(request, body=json.dumps(tree).encode())


def _containers(tree: Any) -> Iterator[Any]:
    """All lists and dictionaries of a tree that are not empty."""
    if isinstance(tree, dict | list) and tree:
        yield tree
        for child in tree.values() if isinstance(tree, dict) else tree:
            yield from _containers(child)


def _damaged_body(rng: random.Random, request: HostileRequest) -> HostileRequest:
    """Bytes of the body cut off, overwritten or inserted."""
    body = bytearray(request.body)
    for _ in range(rng.choice((1, 2, 8))):
        at = rng.randrange(len(body))
        match rng.randrange(3):
            case 0:
                del body[at:]
                body += b"}"
            case 1:
                body[at] = rng.randrange(256)
            case _:
                body[at:at] = rng.randbytes(rng.choice((1, 5, 50)))
    return replace(request, body=bytes(body))


def _changed_query(rng: random.Random, request: HostileRequest) -> HostileRequest:
    """The address of the page, in the body of a callback, is hostile."""
    query = rng.choice(QUERIES)
    if rng.random() < 0.5:
        query += "&" + quote(rng.choice(("trial", "cost", "study", "\x00"))) + "="
        query += quote(rng.randbytes(rng.choice((1, 4, 40))))
    tree = json.loads(request.body)
    for item in (*tree["inputs"], *tree.get("state", ())):
        if isinstance(item, dict) and item["property"] == "search":
            item["value"] = f"?{query}"
        if isinstance(item, dict) and item["property"] == "pathname":
            item["value"] = rng.choice(PATHS)
    return replace(request, body=json.dumps(tree).encode())


def _mixed(rng: random.Random, request: HostileRequest) -> HostileRequest:
    """Method, path, query string and headers drawn independently."""
    return HostileRequest(
        path=rng.choice((CALLBACK_PATH, *PATHS)),
        method=rng.choice(METHODS),
        query=rng.choice(QUERIES),
        body=rng.choice((b"", request.body, rng.choice(_RAW_BODIES))),
        headers=rng.choice(HEADERS),
    )
