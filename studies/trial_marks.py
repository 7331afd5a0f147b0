"""What a reader has marked of a trial: a star, tags, a note."""

from __future__ import annotations

from dataclasses import dataclass

from ..sanitize import clean_text

MAX_TAGS = 20
MAX_TAG_LENGTH = 40
MAX_NOTE_LENGTH = 2000


@dataclass(frozen=True)
class TrialMarks:
    """The marks of one trial.

    Attributes:
        starred: whether it has a star.
        tags: words, each once.
        note: any text.
    """

    starred: bool = False
    tags: tuple[str, ...] = ()
    note: str = ""

    @classmethod
    def of(cls, starred: bool, tags: str, note: str) -> TrialMarks:
        """The marks that a reader has typed, cleaned and cut.

        Args:
            starred: whether there is a star.
            tags: separated by commas.
            note: any text.
        """
        cleaned = (
            clean_text(tag, MAX_TAG_LENGTH, one_line=True).strip() for tag in tags.split(",")
        )
        distinct = tuple(dict.fromkeys(filter(None, cleaned)))[:MAX_TAGS]
        return cls(starred, distinct, clean_text(note, MAX_NOTE_LENGTH).strip())

    @property
    def words(self) -> str:
        """What a search finds it by, in lower case."""
        tags = " ".join(f"#{tag}" for tag in self.tags)
        return f"{'starred ' if self.starred else ''}{tags} {self.note}".lower()


NO_MARKS = TrialMarks()
