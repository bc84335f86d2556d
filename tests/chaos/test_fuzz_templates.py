"""Fuzzing template files and what is filled into them. Pure functions, no doubles."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from clair.errors import UsageError
from clair.templates import parse
from tests.chaos.fuzzing import fuzz, result_of

PIECES = st.sampled_from(
    [
        *(
            "---\n",
            "purpose: x\n",
            "fields: a, b\n",
            "fields: a\n",
            "protocol: edits\n",
            "protocol: ?\n",
            "<<system>>\n",
            "<<user>>\n",
        ),
        *(
            "<<assistant>>\n",
            "<<other>>\n",
            "{{a}}",
            "{{b}}",
            "{{c}}",
            "{{ a }}",
            "{{{a}}}",
            "{{a",
            "}}",
            "\n",
            "\r\n",
            "\ufeff",
            ":",
        ),
    ]
)
FILES = st.lists(PIECES | st.text(max_size=6), max_size=14).map("".join)
GOOD = FILES.map(lambda body: f"---\nfields: a, b\n---\n<<user>>\n{{{{a}}}} and {{{{b}}}}\n{body}")
VALUES = st.lists(PIECES | st.text(max_size=6), max_size=6).map("".join)


@fuzz(text=FILES | GOOD, a=VALUES, b=VALUES)
def test_a_template_is_refused_or_filled_in_one_pass(text: str, a: str, b: str) -> None:
    """Values stand in the messages as they are, braces and section lines included, and nothing else changes."""
    template = result_of(lambda: parse("mine", text, digest=""), UsageError)
    if isinstance(template, UsageError):
        assert "template 'mine'" in str(template)
        return
    values = {**dict.fromkeys(template.fields, "other"), "a": a, "b": b}
    messages = template.render(**values)
    assert [message["role"] for message in messages] == [role for role, _ in template.sections]
    for message, (_, section) in zip(messages, template.sections, strict=True):
        fixed = re.split(r"\{\{(\w+)\}\}", section)
        expected = "".join(values[part] if number % 2 else part for number, part in enumerate(fixed))
        assert message["content"] == expected
