"""Sentences with slots: written out with values, and recognized again in text of unknown origin.

    wording = Wording("The {item1} cost {n1} x {p1} = {c1} dollars.")
    wording.write({"item1": "pears", "n1": "3", "p1": "4", "c1": "12"})   # The pears cost 3 x 4 = 12 dollars.
    wording.read("The pears cost 3 x 4 = 13 dollars.")                    # {"item1": ("pears",), ..., "c1": ("13",)}

A question, and each step of an answer as each writer puts it, is one `Wording`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property

Values = Mapping[str, str]
"""What fills the slots, by slot name: numbers, clock times, weekdays, names, and lists with commas, as text."""

_SLOT = re.compile(r"\{(\w+)\}")
_WORD = r"([A-Za-z0-9:]{1,20})"  # bounded, so that a search in long foreign text stays linear
_LIST = r"([A-Za-z0-9]{1,20}(?:, [A-Za-z0-9]{1,20}){0,19})"


class Wording:
    """One sentence with slots such as `{n1}`. Slots whose name ends in `list` hold words with commas between."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.slots: tuple[str, ...] = tuple(_SLOT.findall(text))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """A regular expression with one group per slot, in order; literal text has to match exactly."""
        parts = _SLOT.split(self.text)
        return re.compile(
            "".join(
                (_LIST if part.endswith("list") else _WORD) if index % 2 else re.escape(part)
                for index, part in enumerate(parts)
            )
        )

    def write(self, values: Values) -> str:
        """The sentence with every slot filled. KeyError if a value is missing."""
        return _SLOT.sub(lambda slot: values[slot[1]], self.text)

    def read(self, text: str) -> dict[str, tuple[str, ...]] | None:
        """The values found per slot (several where a slot occurs twice), or None if `text` is not this sentence."""
        match = self.pattern.fullmatch(text)
        if match is None:
            return None
        found: dict[str, tuple[str, ...]] = {}
        for slot, value in zip(self.slots, match.groups(), strict=True):
            found[slot] = (*found.get(slot, ()), value)
        return found
