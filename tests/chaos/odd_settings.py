"""Values of every type for a setting in TOML, and files that are no TOML."""

from __future__ import annotations

TOML_VALUES: tuple[str, ...] = (
    *(
        "1",
        "-1",
        "0",
        "1.5",
        "nan",
        "inf",
        "-inf",
        "true",
        "1e400",
        "0x10",
        "9" * 30,
        "-" + "9" * 25,
    ),
    *('""', '"x"', '"auto"', '"none"', '"\\u001b[31m"', '"\\u0000"', '"a\\nb"', '"\\u202ex"'),
    *('"5M"', '"1h"', '"1e999"', '"inf"', '"nan"', '"-5"', f'"{"x" * 10_000}"'),
    *(
        "[]",
        "[1]",
        '["a", "b"]',
        "[[]]",
        "[{}]",
        "[true]",
        "[nan]",
        '["\\u0000"]',
        "[9223372036854775808]",
    ),
    *("{}", "{a = 1}", "1979-05-27T07:32:00Z", "1979-05-27", "07:32:00"),
    *('"asha:eta=99999999999999999999"', '"front:chance=nan"', '"asha:first=1e999"'),
)
"""What may stand after the name of a setting."""

BROKEN_TOML: dict[str, bytes] = {
    "Latin-1": 'backbone = "größe"'.encode("latin-1"),
    "UTF-16": 'backbone = "x"'.encode("utf-16"),
    "a number of 5 000 digits": b"trials = " + b"9" * 5000,
    "100 000 brackets": b"objective = " + b"[" * 100_000,
    "10 000 nested tables": b"a = " + b"{a = " * 10_000,
    "NUL": b"backbone = '\x00'",
    "binary": bytes(range(256)),
    "cut": b"backbone = ",
    "the same key twice": b"seed = 1\nseed = 2",
    "a table": b"[recipe]\nlr = 1",
    "a table of tables": b"[[recipe]]\nlr = 1",
    "a key of a table": b"recipe.lr = 1",
    "an unknown key": b"bogus = 1",
    "an unknown key of escape sequences": b'"\\u001b[2J" = 1',
    "2 MB": b"#" * 2 * 2**20,
}
"""Files that have to be refused."""
