"""Write the table of all settings from the fields that declare them.

    python docs/settings_table.py

A test compares the table in `docs/settings.md` with the generated one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from attentune.search.setup.settings_from_fields import GROUPS, Setting, search_settings

PAGE = Path(__file__).parent / "settings.md"
BEGIN = "<!-- made by docs/settings_table.py -->\n"
END = "<!-- end of the table -->\n"


def settings_table() -> str:
    """One Markdown table for each group of settings."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    for group in GROUPS:
        yield from ("", f"| {group} | default | meaning |", "|---|---|---|")
        yield from (_row(setting) for setting in search_settings() if setting.group == group)
    yield ""


def _row(setting: Setting) -> str:
    words = setting.meaning
    if setting.choices:
        words += f" {', '.join(f'`{choice}`' for choice in setting.choices)}."
    return f"| `{setting.option}` | {setting.default or '–'} | {words} |"


def with_table(text: str) -> str:
    """The page with the table as it is generated now."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + settings_table() + END + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
