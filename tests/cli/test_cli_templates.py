"""`clair templates`: the built-in prompts listed, shown, copied, and given back. Real: the command and its files."""

from __future__ import annotations

from pathlib import Path

from clair.templates import built_in, load, prompt_file
from tests.cli.conftest import Call
from tests.servers.chat import ChatServer


def test_the_list_names_every_prompt_with_purpose_and_fields(call: Call):
    done = call("templates")
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert [line for line in lines if not line.startswith(" ")] == [it.name for it in built_in()] + ["principles"]
    place = lines.index("critique")
    assert lines[place + 1 : place + 3] == [
        "  have an answer criticized in the light of one principle (the recipe constitutional)",
        "  protocol: critique; fields: conversation, principle, response, token",
    ]


def test_what_is_shown_and_copied_is_the_file(call: Call, tmp_path: Path):
    text = prompt_file("judge.md").read_text(encoding="utf-8")
    assert call("templates", "show", "judge").stdout == text
    done = call("templates", "copy", "judge", tmp_path / "mine.md")
    assert done.stdout == f"wrote {tmp_path}/mine.md; use it with clair generate --judge-template {tmp_path}/mine.md\n"
    assert load(tmp_path / "mine.md").sha256 == load("judge").sha256
    assert call("templates", "copy", "edits", tmp_path).exit_code == 0
    assert load(tmp_path / "edits.md") == load("edits")
    assert "--principles" in call("templates", "copy", "principles", tmp_path).stdout
    assert (tmp_path / "principles.txt").read_text() == prompt_file("principles.txt").read_text()


def test_a_file_is_not_written_over_and_names_are_checked(call: Call, tmp_path: Path):
    (tmp_path / "edits.md").write_text("mine")
    done = call("templates", "copy", "edits", tmp_path)
    assert (done.exit_code, (tmp_path / "edits.md").read_text()) == (2, "mine")
    assert "--force" in done.stderr
    assert call("templates", "copy", "edits", tmp_path, "--force").exit_code == 0
    assert call("templates", "show", "../pyproject").exit_code == 2
    assert call("templates", "copy", "edits", tmp_path / "no/folder.md").exit_code == 2


def test_a_template_that_does_not_fit_ends_the_run_before_anything_is_asked(
    call: Call, server: ChatServer, prompts: Path, models: list[str], tmp_path: Path
):
    call("templates", "copy", "edits", tmp_path / "mine.md")
    text = (tmp_path / "mine.md").read_text()
    (tmp_path / "mine.md").write_text(text.replace("{{response}}", "{{answer}}"))
    done = call("generate", prompts, "-o", tmp_path / "run", *models, "--template", tmp_path / "mine.md")
    assert (done.exit_code, server.paths) == (2, [])
    assert "{{answer}}, which its header does not list" in done.stderr
    (tmp_path / "mine.md").write_text(text)
    unused = call(
        "generate",
        prompts,
        "-o",
        tmp_path / "run",
        *models,
        "--template",
        tmp_path / "mine.md",
        "--protocol",
        "rewrite",
    )
    assert (unused.exit_code, server.paths) == (2, [])
    assert "asks no question in it" in unused.stderr
