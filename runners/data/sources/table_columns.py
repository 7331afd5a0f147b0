"""Find the columns of a table that say an image's path, label, split and group.

A column has a role by its name, or because a user says so (`--column label=species`). A role that
several columns may have is asked about, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from ....errors import DataError, UsageError, did_you_mean
from ....sanitize import quote_value
from .label_table import LabelTable

Role = Literal["path", "label", "split", "group", "weight"]
ROLES: tuple[Role, ...] = get_args(Role)
NAMES_OF_ROLES: dict[Role, frozenset[str]] = {
    "path": frozenset((
        "path", "file", "filename", "filepath", "fname", "image", "imagepath", "imagefile",
        "imagefilename", "imagefilepath", "imagename", "imageid", "img", "imgpath", "imgfile",
        "imgname", "relativepath", "relpath", "photo",
    )),
    "label": frozenset((
        "label", "labels", "class", "classname", "classlabel", "labelname", "category", "target",
        "y",
    )),
    "split": frozenset(("split", "subset", "set", "partition", "datasplit")),
    "group": frozenset((
        "group", "groups", "groupid", "patient", "patientid", "subject", "subjectid",
        "participant", "participantid", "individual", "individualid",
    )),
    "weight": frozenset((
        "weight", "weights", "sampleweight", "sampleweights", "imageweight", "imageweights",
    )),
}  # fmt: skip
"""Names of columns, in lower case and without anything but letters and digits."""


_NUMBERED_LABEL = re.compile(rf"({'|'.join(sorted(NAMES_OF_ROLES['label']))})\d+")
"""One of several columns of labels, as `label_2`."""
_INDICATORS = ({"0", "1"}, {"0.0", "1.0"}, {"false", "true"})
"""The values of a column that says whether images are of one class."""
MAX_LISTED_COLUMNS = 3
"""In one sentence."""


def choose_columns(table: LabelTable, requested: Mapping[Role, str]) -> dict[Role, int]:
    """The number of the column of each role; roles without a column are left out.

    Args:
        table: its header is read.
        requested: names of columns by role; an empty name means that no column has the role.

    Raises:
        DataError: the paths or labels are in no column, or it is not clear in which one.
    """
    columns: dict[Role, int] = {}
    for role in ROLES:
        if requested.get(role) == "":
            continue
        number = (
            _find_requested(table, role, requested[role])
            if role in requested
            else _find_by_role(table, role)
        )
        if number is not None:
            columns[role] = number
    if "label" not in columns:
        _check_indicators(table, columns)
    for role in ("path", "label"):
        if role not in columns:
            raise DataError(
                f"{table.path} has the columns {_listed(table.header)}, none of which is called "
                f"{role!r} or similar; say which one it is with --column {role}=NAME. The first "
                "line has to be a header"
            )
    return columns


def parse_columns(texts: Sequence[str]) -> dict[Role, str]:
    """Names of columns by role from texts such as `label=species`.

    Raises:
        UsageError: a text is not of this form, or names no role.
    """
    requested: dict[Role, str] = {}
    for text in texts:
        word, equals, name = text.partition("=")
        role = next((role for role in ROLES if role == word.strip().lower()), None)
        if role is None or not equals:
            raise UsageError(
                f"cannot read --column {quote_value(text)}; write for example label=species, with "
                f"one of {', '.join(ROLES)} before the ="
            )
        requested[role] = name.strip()
    return requested


def _find_requested(table: LabelTable, role: Role, name: str) -> int:
    same = [number for number, column in enumerate(table.header) if column == name]
    similar = [n for n, column in enumerate(table.header) if column.lower() == name.lower()]
    numbers = same or similar
    if not numbers:
        raise DataError(
            f"{table.path} has no column {quote_value(name)} for --column {role}="
            f"{did_you_mean(name, filter(None, table.header))}"
        )
    if len(numbers) > 1:
        raise DataError(f"{table.path} has {len(numbers)} columns {quote_value(name)}; rename one")
    return numbers[0]


def _find_by_role(table: LabelTable, role: Role) -> int | None:
    words = [re.sub(r"[\W_]", "", column.casefold()) for column in table.header]
    # A column that is called like its role comes before those with similar names.
    numbers = [number for number, word in enumerate(words) if word == role]
    numbers = numbers or [n for n, word in enumerate(words) if word in NAMES_OF_ROLES[role]]
    if role == "label":
        numbers += [n for n, word in enumerate(words) if _NUMBERED_LABEL.fullmatch(word)]
    if len(numbers) > 1:
        candidates = _listed([table.header[number] for number in numbers])
        raise DataError(
            f"{table.path} has the columns {candidates}, any of which may be the {role}; say which "
            f"one it is with --column {role}=NAME"
        )
    return numbers[0] if numbers else None


def _check_indicators(table: LabelTable, columns: Mapping[Role, int]) -> None:
    """Raise DataError if classes are columns of zeros and ones, one for each class."""
    numbers = [n for n in range(len(table.header)) if n not in columns.values()]
    values = {n: {row[n].lower() for row in table.rows} for n in numbers}
    indicators = [table.header[n] for n in numbers if values[n] in _INDICATORS]
    if len(indicators) > 1:
        raise DataError(
            f"{table.path} has no column of labels, but {len(indicators):,} columns of zeros and "
            f"ones ({_listed(indicators[:MAX_LISTED_COLUMNS])}). attentune trains for one class an "
            "image: if every row has a single one, write the name of its column into a column "
            "'label'; several labels an image are not supported"
        )


def _listed(names: Sequence[str]) -> str:
    return quote_value(list(names)).strip("[]")
