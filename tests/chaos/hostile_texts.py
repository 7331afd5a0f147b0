"""Texts that other programs, file systems and users may hand in, by what is hostile about them."""

from __future__ import annotations

TEXTS: dict[str, str] = {
    "lone surrogate": "caf\udce9",
    "half of a pair": "x\ud83d",
    "pair the wrong way round": "\udc00\ud800",
    "NUL": "a\x00b",
    "only NULs": "\x00" * 50,
    "red and bold": "\x1b[31;1mred\x1b[0m",
    "clear the screen": "\x1b[2J\x1b[H",
    "window title": "\x1b]0;owned\x07",
    "OSC 8 link": "\x1b]8;;https://evil.example/\x1b\\click\x1b]8;;\x1b\\",
    "OSC 52 clipboard": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "device control string": '\x1bP$q"p\x1b\\',
    "C1 CSI": "\x9b31mred",
    "C1 OSC": "\x9d0;owned\x9c",
    "bell": "\x07" * 10,
    "backspaces": "safe\b\b\b\bevil",
    "carriage return": "12 complete\r0 failed",
    "form feed and vertical tab": "a\x0b\x0cb",
    "DEL": "a\x7fb",
    "line break": "name\nError: everything is lost",
    "line separators": "a\u2028b\u2029c\x85d",
    "right-to-left override": "\u202egnp.exe",
    "isolates": "\u2066a\u2069\u2067b\u2068",
    "marks of direction": "a\u200fb\u200ec\u061cd",
    "byte order mark": "\ufeffa",
    "tag characters": "a\U000e0041\U000e007f",
    "Rich markup": "[bold red]x[/] [link=https://evil.example]y[/link]",
    "unbalanced markup": "[/]",
    "unbalanced markup of a style": "a [/red] b [",
    "HTML": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "format string": "%s %d {0} {name!r} %(x)s",
    "path upwards": "../../../../etc/passwd",
    "combining marks": "a" + "\u0301" * 500,
    "wide": "漢字" * 200,
    "long": "x" * 100_000,
    "many lines": "line\n" * 2_000,
    "empty": "",
    "spaces": "   ",
    "quotes": "'\"`$(rm -rf ~)`;",
}
"""By a name for messages."""

_FORBIDDEN_CODES = (
    range(0x20),
    range(0x7F, 0xA0),
    range(0x200E, 0x2010),
    range(0x2028, 0x202F),
    range(0x2066, 0x206A),
    range(0xD800, 0xE000),
    range(0xE0000, 0xE0080),
    (0x061C, 0xFEFF),
)
FORBIDDEN = {chr(code) for codes in _FORBIDDEN_CODES for code in codes} - {"\n", "\t"}
"""Characters that must not reach a terminal, unless the display itself writes them."""


def forbidden_in(output: str) -> str:
    """The forbidden characters that an output holds, in a readable form; empty if none."""
    return "".join(sorted(FORBIDDEN & set(output))).encode("unicode_escape").decode()
