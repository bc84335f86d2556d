"""The prompts, kept as files: load one, fill it in, get chat messages.

    template = load("rewrite")                        # a built-in one, from prompts/
    template = load("my/prompt.md")                   # your own
    messages = template.render(conversation="...", response="...", token="3f9a02c1", principles="")
    Templates.load(Path("my/prompt.md")).sha256       # {"rewrite": "…", "edits": "…"}, for run.json

A file has a header between two `---` lines (`purpose:`, `fields:` and, for the prompt of a recipe, `protocol:`, which
says how the reply is read) and then one section per message, each after a line `<<system>>`, `<<user>>` or
`<<assistant>>`. `{{field}}` is filled in one pass, so braces in a value stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

from clair.errors import UsageError
from clair.records import Message, Protocol

Reading = Literal["rewrite", "edits", "critique", "verdict", "score"]
"""How a reply is read: as a revision in one of the two protocols, as text, as `[[A]]`, `[[B]]` or `[[C]]` on its last
line, or as `[[1]]` to `[[10]]` there."""

_PACKAGE = Path(__file__).resolve().parent
_SECTION = re.compile(r"^<<(system|user|assistant)>>[ \t]*$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")

READINGS: tuple[Reading, ...] = get_args(Reading)

REVISER_FIELDS: dict[Protocol, frozenset[str]] = {
    "rewrite": frozenset({"conversation", "response", "token", "principles"}),
    "edits": frozenset(
        {
            "conversation",
            "response",
            "token",
            "principles",
            "search_line",
            "divider_line",
            "replace_line",
        }
    ),
}
"""What a reviser's prompt may ask for."""

NEEDED: dict[Reading, tuple[str, ...]] = {
    "rewrite": ("conversation", "response"),
    "edits": ("conversation", "response"),
    "critique": ("conversation", "response"),
    "verdict": ("conversation", "first", "second"),
    "score": ("conversation", "response"),
}
"""What a prompt must use."""

BUILT_IN: dict[Reading, str] = {"rewrite": "rewrite", "edits": "edits"}
"""The prompts of the recipe `clair`: how the reply is read -> name of the file."""


@dataclass(frozen=True, slots=True)
class Template:
    """One prompt file. `sha256` is of its bytes; `protocol`, how the reply is read, is None if the header is silent."""

    name: str
    purpose: str
    fields: frozenset[str]
    protocol: Reading | None
    sections: tuple[tuple[str, str], ...]
    sha256: str

    def render(self, **fields: str) -> tuple[Message, ...]:
        """The chat messages with every `{{field}}` filled in; fields that the template lacks are not used.

        Raises UsageError if a field of the template is missing.
        """
        missing = sorted(self.fields - fields.keys())
        if missing:
            raise UsageError(f"template {self.name!r} needs the field {missing[0]!r}, which was not given")
        return tuple(
            Message(role=role, content=_PLACEHOLDER.sub(lambda found: fields[found[1]], text))
            for role, text in self.sections
        )


@dataclass(frozen=True, slots=True)
class Templates:
    """The prompts of one recipe. `names` are those of the built-in files, which own ones may stand in for."""

    names: Mapping[Reading, str]
    held: Mapping[Reading, Template]

    @classmethod
    def load(cls, *own: Path | None, names: Mapping[Reading, str] = BUILT_IN) -> Templates:
        """The built-in prompts, each of `own` in the place of the one that is read as its header says.

        Raises UsageError if one of `own` cannot be read, says nothing of how its reply is read, is for a question
        that is not asked, or uses unknown fields or not the needed ones.
        """
        held = {reading: load(name) for reading, name in names.items()}
        for path in own:
            if path is not None:
                template = load(path)
                reading = _fitting(template, held)
                held[reading] = template
        return cls(names, held)

    def of(self, reading: Reading) -> Template:
        """The prompt whose reply is read so."""
        return self.held[reading]

    @property
    def sha256(self) -> dict[str, str]:
        """Hash of each file, by the name of the built-in one."""
        return {name: self.held[reading].sha256 for reading, name in self.names.items()}


def built_in() -> tuple[Template, ...]:
    """All built-in prompts, by name."""
    return tuple(load(path.stem) for path in sorted(_prompts_folder().glob("*.md")))


def prompt_file(name: str) -> Path:
    """Where a file of the prompts folder is, a built-in prompt or another one. It may be missing."""
    return _prompts_folder() / name


def load(name_or_path: str | Path) -> Template:
    """A built-in template by name ("rewrite"), or any file by path. Raises UsageError."""
    path = Path(name_or_path)
    if isinstance(name_or_path, str) and re.fullmatch(r"[\w-]+", name_or_path):
        path = _prompts_folder() / f"{name_or_path}.md"
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        known = ", ".join(sorted(file.stem for file in _prompts_folder().glob("*.md")))
        raise UsageError(
            f"cannot read the template {str(name_or_path)!r}: {error}. Give the path of a UTF-8 text file "
            f"or one of the names {known}"
        ) from error
    return parse(path.stem, text, digest=sha256(data).hexdigest())


def parse(name: str, text: str, *, digest: str) -> Template:
    """A template from the text of its file. Raises UsageError saying what is wrong with it."""
    header, body = _split_header(name, text.replace("\r\n", "\n"))
    fields = frozenset(part.strip() for part in header.get("fields", "").split(",") if part.strip())
    protocol = _protocol(name, header.get("protocol"))
    sections = _split_sections(name, body)
    used = {field for _, section in sections for field in _PLACEHOLDER.findall(section)}
    for field in sorted(used - fields):
        raise UsageError(f"template {name!r} uses {{{{{field}}}}}, which its header does not list in fields:")
    for field in sorted(fields - used):
        raise UsageError(f"template {name!r} lists the field {field!r} but does not use {{{{{field}}}}}")
    return Template(name, header.get("purpose", ""), fields, protocol, sections, digest)


def _prompts_folder() -> Path:
    packaged = _PACKAGE / "_prompts"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "prompts"


def _split_header(name: str, text: str) -> tuple[dict[str, str], str]:
    opening, _, rest = text.partition("---\n")
    lines, closing, body = rest.partition("\n---\n")
    if opening.strip() or not closing:
        raise UsageError(f"template {name!r} must begin with a header between two '---' lines")
    header = {}
    for line in filter(str.strip, lines.split("\n")):
        key, colon, value = line.partition(":")
        if not colon or key.strip() not in ("purpose", "protocol", "fields"):
            raise UsageError(f"template {name!r}: {line!r} in the header is not purpose:, protocol: or fields:")
        header[key.strip()] = value.strip()
    return header, body


def _protocol(name: str, value: str | None) -> Reading | None:
    if value is None:
        return None
    for reading in READINGS:
        if value == reading:
            return reading
    raise UsageError(
        f"template {name!r}: protocol is {value!r}, expected 'rewrite' or 'edits' (a revision), 'critique', 'verdict' "
        "or 'score'"
    )


def _split_sections(name: str, body: str) -> tuple[tuple[str, str], ...]:
    before, *parts = _SECTION.split(body)
    if before.strip() or not parts:
        raise UsageError(f"template {name!r} must have a line <<system>> or <<user>> before its text")
    return tuple((role, text.strip("\n")) for role, text in zip(parts[::2], parts[1::2], strict=True))


def _fitting(template: Template, held: Mapping[Reading, Template]) -> Reading:
    """How the template's reply is read, if it can stand in for the prompt of that kind."""
    name, reading = template.name, template.protocol
    if reading is None:
        raise UsageError(f"template {name!r}: its header must say {_either(held)}")
    if reading not in held:
        raise UsageError(
            f"template {name!r} says 'protocol: {reading}', a question that this recipe does not ask: expected "
            + _either(held)
        )
    allowed = held[reading].fields
    unknown = sorted(template.fields - allowed)
    if unknown:
        raise UsageError(
            f"template {name!r} uses {{{{{unknown[0]}}}}}; a prompt for {reading} may use " + ", ".join(sorted(allowed))
        )
    for needed in (*NEEDED[reading], *({"critique"} & allowed)):
        if needed not in template.fields:
            raise UsageError(f"template {name!r} must use {{{{{needed}}}}}")
    return reading


def _either(readings: Sequence[Reading] | Mapping[Reading, Template]) -> str:
    return " or ".join(f"'protocol: {reading}'" for reading in readings)
