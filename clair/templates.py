"""The prompts, kept as files: load one, fill it in, get chat messages.

    template = load("rewrite")                        # a built-in one, from prompts/
    template = load("my/prompt.md")                   # your own
    messages = template.render(conversation="...", response="...", token="3f9a02c1", principles="")
    Templates.load(Path("my/prompt.md")).sha256       # {"rewrite": "…", "edits": "…"}, for run.json

A file has a header between two `---` lines (`purpose:`, `fields:` and, for a reviser's prompt, `protocol:`)
and then one section per message, each after a line `<<system>>`, `<<user>>` or `<<assistant>>`. `{{field}}`
is filled in one pass, so braces in a value stay as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from clair.errors import UsageError
from clair.records import Message, Protocol

_PACKAGE = Path(__file__).resolve().parent
_SECTION = re.compile(r"^<<(system|user|assistant)>>[ \t]*$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")

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
"""What a reviser's prompt may ask for. `conversation` and `response` it must use."""


@dataclass(frozen=True, slots=True)
class Template:
    """One prompt file. `sha256` is of its bytes; `protocol` is None unless the header names one."""

    name: str
    purpose: str
    fields: frozenset[str]
    protocol: Protocol | None
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
    """The reviser's prompt for each protocol."""

    rewrite: Template
    edits: Template

    @classmethod
    def load(cls, own: Path | None = None) -> Templates:
        """The built-in prompts, `own` taking the place of the one for the protocol that its header names.

        Raises UsageError if `own` cannot be read or names no protocol, unknown fields or not the needed ones.
        """
        built_in = {"rewrite": load("rewrite"), "edits": load("edits")}
        if own is not None:
            template = load(own)
            built_in[_reviser_protocol(template)] = template
        return cls(**built_in)

    def of(self, protocol: Protocol) -> Template:
        """The prompt for `protocol`."""
        return self.rewrite if protocol == "rewrite" else self.edits

    @property
    def sha256(self) -> dict[str, str]:
        """Hash of each file, by protocol."""
        return {"rewrite": self.rewrite.sha256, "edits": self.edits.sha256}


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


def _protocol(name: str, value: str | None) -> Protocol | None:
    if value is None:
        return None
    if value == "rewrite":
        return "rewrite"
    if value == "edits":
        return "edits"
    raise UsageError(f"template {name!r}: protocol is {value!r}, expected 'rewrite' or 'edits'")


def _split_sections(name: str, body: str) -> tuple[tuple[str, str], ...]:
    before, *parts = _SECTION.split(body)
    if before.strip() or not parts:
        raise UsageError(f"template {name!r} must have a line <<system>> or <<user>> before its text")
    return tuple((role, text.strip("\n")) for role, text in zip(parts[::2], parts[1::2], strict=True))


def _reviser_protocol(template: Template) -> Protocol:
    if template.protocol is None:
        raise UsageError(f"template {template.name!r}: its header must say 'protocol: rewrite' or 'protocol: edits'")
    unknown = sorted(template.fields - REVISER_FIELDS[template.protocol])
    if unknown:
        raise UsageError(
            f"template {template.name!r} uses {{{{{unknown[0]}}}}}; a prompt for {template.protocol} may use "
            + ", ".join(sorted(REVISER_FIELDS[template.protocol]))
        )
    for needed in ("conversation", "response"):
        if needed not in template.fields:
            raise UsageError(f"template {template.name!r} must use {{{{{needed}}}}}")
    return template.protocol
