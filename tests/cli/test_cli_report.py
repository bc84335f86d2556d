"""`clair report` and `clair show` on a run folder. Real: commands, folder. Doubles: the rows, the browser."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from clair.cli.terminal import word_diff
from tests.cli.conftest import Call
from tests.dataset.dataset_examples import reject
from tests.pipeline.runs import clair, digests
from tests.report.examples import asking, measured, small_run, write_run


def test_report_writes_the_page_again_and_says_where(call: Call, tmp_path: Path):
    run = small_run(tmp_path / "run")
    before = digests(run)
    done = call("report", run)
    assert (done.exit_code, done.stdout) == (0, f"{run}/report.html\n")
    assert digests(run).keys() - before.keys() == {"report.html"}
    (run / "report.html").write_text("old")
    assert call("report", run).exit_code == 0
    assert (run / "report.html").read_text().startswith("<!doctype html>")


def test_report_opens_the_page_in_the_browser(tmp_path: Path):
    run = small_run(tmp_path / "a run")
    seen = tmp_path / "seen"
    browser = tmp_path / "browser"
    browser.write_text(f"#!{sys.executable}\nimport sys\nopen({str(seen)!r}, 'w').write(sys.argv[1])\n")
    browser.chmod(0o755)
    done = clair("report", str(run), "--open", env={"BROWSER": f"{browser} %s"})
    assert done.returncode == 0, done.stderr
    assert seen.read_text() == (run / "report.html").as_uri()


@pytest.mark.parametrize("command", ["report", "show"])
def test_what_is_no_run_is_refused(call: Call, tmp_path: Path, command: str):
    done = call(command, tmp_path / "nothing")
    assert done.exit_code == 2
    assert "holds no pairs. Expected a run folder made by `clair generate`." in done.stderr


def test_generate_writes_the_report_and_what_each_stage_used(
    call: Call, prompts: Path, models: list[str], tmp_path: Path
):
    assert call("generate", prompts, "-o", tmp_path / "run", *models).exit_code == 0
    page = (tmp_path / "run/report.html").read_text()
    found = json.loads((tmp_path / "run/run.json").read_text())
    assert "<h1>run</h1>" in page
    assert list(found["stages"]) == ["sample", "revise"]
    sample = found["stages"]["sample"]
    assert (sample["requests"], sample["prompt_tokens"], sample["completion_tokens"]) == (30, 3000, 1500)
    assert (sample["cost_usd"], sample["requests_without_cost"]) == (None, 30)
    assert call("report", tmp_path / "run").exit_code == 0
    assert (tmp_path / "run/report.html").read_text() == page


def test_show_prints_the_first_pairs(call: Call, tmp_path: Path):
    done = call("show", small_run(tmp_path), "-n", "2")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0].startswith("row 1 ──")
    rest = " ".join(f"word{place}" for place in range(1, 10))
    assert lines[1:6] == [
        f"{0:032x} from prompts.jsonl, record 0",
        "user: Tell me about alpha.",
        f"[-word0-]{{+new0+}} {rest}",
        "why: off by one",
        "pair (edits, 1 attempt(s)): 10% of the words changed in 1 edit(s), Jaccard 0.82, length ratio 1.00",
    ]
    assert done.stdout.count("row ") == 2


def test_show_prints_rejects(call: Call, tmp_path: Path):
    lines = call("show", small_run(tmp_path), "--rejects", "-n", "1").stdout.splitlines()
    assert lines[2:6] == [
        "user: Why is the sky blue?",
        "reject at gate: too_different",
        "78 % of the words changed",
        "[-Because.-]{+Since it is so.+}",
    ]


def test_show_finds_a_row_by_the_beginning_of_its_id(call: Call, tmp_path: Path):
    run = write_run(
        tmp_path, [measured(n, "a", "b", id=f"{n:x}" * 16, prompt=asking(f"no {n}")) for n in (0xAB, 0xAC, 0xCD)],
        [reject(1, id="ef" * 16, prompt=asking("turned away"))],
    )  # fmt: skip
    assert "user: no 205" in call("show", run, "cd").stdout
    assert "user: turned away" in call("show", run, "ef").stdout
    both = call("show", run, "a").stdout
    assert "no 171" in both
    assert "no 172" in both
    many = call("show", run, "a", "-n", "1")
    assert (many.exit_code, many.stderr) == (
        2,
        "clair: more than 1 ids begin with 'a'. Give more of it, or a larger -n.\n",
    )
    none = call("show", run, "77")
    assert none.exit_code == 2
    assert "has an id that begins with '77'" in none.stderr


def test_show_says_so_when_there_is_nothing(call: Call, tmp_path: Path):
    run = write_run(tmp_path, [measured(1, "a", "b")])
    assert "no rejects in" in call("show", run, "--rejects").stdout


def test_texts_cannot_drive_the_terminal(call: Call, tmp_path: Path):
    evil = "\x1b]0;owned\x07\x1b[2J\u202e"
    pair = measured(1, f"a {evil}", f"b {evil} c", prompt=asking(evil), rationale=evil, source=evil)
    row = reject(2, detail=evil, response=evil, revision=None, prompt=asking(evil))
    run = write_run(tmp_path, [pair], [row])
    for options in ((), ("--rejects",)):
        done = call("show", run, *options, color=True)
        assert done.exit_code == 0
        for part in ("\x07", "\x1b]", "\x1b[2J", "\u202e"):
            assert part not in done.stdout
        assert r"\x1b]0;owned\x07" in done.stdout


def test_in_a_terminal_styles_tell_removed_from_added():
    text = word_diff("It is 5 m.", "It is 6 m.")
    assert text.plain == "It is 5 6 m."
    assert [(text.plain[span.start : span.end], span.style) for span in text.spans] == [
        ("5", "red strike"),
        ("6", "bold green"),
    ]
