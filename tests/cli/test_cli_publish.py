"""`clair publish` as a command. Real: the command, as a process where it sends, `huggingface_hub` and HTTP. Double: the
Hub (tests/servers/hub.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub.runs import PUBLISHED, make_run, measured
from tests.servers.hub import Fault, HubServer, new_repo

TOKEN = "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"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run")


def publish(hub: HubServer, *words: object, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HF_ENDPOINT": hub.url,
        "HF_TOKEN": TOKEN,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": "/nonexistent",
        **env,
    }
    command = [sys.executable, "-m", "clair", "publish", *map(str, words)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_a_run_goes_up_and_the_command_says_so(run):
    with HubServer(token=TOKEN) as hub:
        done = publish(hub, run, "me/pairs", "--license", "cc-by-4.0", "--private")
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == f"published 3 pairs at {hub.url}/datasets/me/pairs"
        assert [line.split()[-1] for line in done.stdout.splitlines()[:4]] == PUBLISHED
        assert hub.repos["me/pairs"].private
        again = publish(hub, run, "me/pairs", "--license", "cc-by-4.0", "--json")
        found = json.loads(again.stdout)
        assert found.pop("files")[0]["path"] == "README.md"
        assert found == {
            "repo": "me/pairs",
            "url": f"{hub.url}/datasets/me/pairs",
            "commit": hub.repos["me/pairs"].branches["main"][-1].oid,
            "pr_url": None,
            "unchanged": True,
            "pairs": 3,
            "rejects": 2,
            "deleted": [],
        }


def test_a_broken_upload_ends_with_exit_code_1_and_can_go_on(run):
    with HubServer(token=TOKEN) as hub:
        hub.faults.append(Fault("PUT", "/storage/", status=400, message=f"broken {TOKEN}"))
        failed = publish(hub, run, "me/pairs", "--license", "cc-by-4.0")
        assert failed.returncode == 1
        assert failed.stderr.splitlines()[-1].startswith(
            "clair: the Hub refused to publish to me/pairs (HTTP 400: broken"
        )
        assert TOKEN not in failed.stderr + failed.stdout
        assert "Signature" not in failed.stderr
        assert publish(hub, run, "me/pairs", "--license", "cc-by-4.0").returncode == 0


def test_no_token(run, tmp_path):
    with HubServer(token=TOKEN) as hub:
        failed = publish(hub, run, "me/pairs", "--license", "mit", HF_TOKEN="", HF_HOME=str(tmp_path))
    assert failed.returncode == 2
    assert "there is no token: HF_TOKEN is not set" in failed.stderr
    assert hub.requests == []


def test_public_where_private_was_asked_for(run):
    with HubServer(token=TOKEN) as hub:
        hub.repos["me/pairs"] = new_repo()
        failed = publish(hub, run, "me/pairs", "--license", "mit", "--private")
    assert failed.returncode == 1
    assert "is public" in failed.stderr


def test_a_dry_run_lists_files_and_sizes(run, tmp_path, call):
    done = call("publish", run, "me/pairs", "--license", "mit", "--dry-run", "-o", tmp_path / "up")
    assert done.exit_code == 0
    sizes = [(tmp_path / "up" / name).stat().st_size for name in PUBLISHED]
    lines = done.stdout.splitlines()
    assert [line.split()[-1] for line in lines[:4]] == PUBLISHED
    assert lines[0].startswith(f"{sizes[0] / 1000:>7.1f} kB")
    assert lines[4].endswith("in 4 files")
    assert lines[-1] == f"written to {tmp_path / 'up'}; nothing was sent"
    as_json = call("publish", run, "me/pairs", "--license", "mit", "--dry-run", "--no-rejects", "--json")
    assert [it["path"] for it in json.loads(as_json.stdout)["files"]] == [*PUBLISHED[:2], "run.json"]
    assert (run.parent / "run-to-publish" / "run.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "a license is missing"),
        (["--license", "nonsense"], "'nonsense' is none of the identifiers"),
        (["--license", "mit", "-o", "x"], "-o is for --dry-run"),
        (["--license", "mit", "--create-pr", "--revision", "v2"], "leave --revision out"),
    ],
)
def test_wrong_options_end_with_exit_code_2(run, call, words, message):
    done = call("publish", run, "me/pairs", *words)
    assert (done.exit_code, message in done.stderr) == (2, True)


def test_secrets_are_refused_by_row_and_can_be_allowed(tmp_path, call):
    key = "sk-Zq7mW2xN9cVb4TgHyR8kLpD3sFj6aQeU1oIiXwEnMvBtCz5Y"
    run = make_run(tmp_path / "run", [measured(1, metadata=json.dumps({"note": key}))])
    words = ("publish", run, "me/pairs", "--license", "mit", "--dry-run")
    done = call(*words)
    assert done.exit_code == 1
    assert f"row {measured(1).id} (metadata): openai sk-Z… (51 characters)" in done.stderr
    assert call(*words, "--allow-secret", measured(1).id).exit_code == 0
