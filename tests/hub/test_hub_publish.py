"""A run goes to the Hub.

Real: the run folder, `huggingface_hub`, HTTP, `datasets`. Double: the Hub (tests/servers/hub.py).
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import datasets
import pytest
from huggingface_hub import DatasetCard

from clair.errors import ClairError, RunStopped, UsageError
from clair.hub.check import Counts
from clair.hub.failures import RESUME
from tests.hub.conftest import TOKEN
from tests.hub.runs import PUBLISHED, make_run, measured
from tests.servers.hub import Fault, new_repo

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def download(files: dict[str, bytes], folder: Path) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_the_hub_gets_exactly_the_publication_in_one_commit(hub, run, send):
    done = send(run)
    repo = hub.repos["me/pairs"]
    assert [commit.message for commit in repo.branches["main"]] == [
        "initial commit",
        "clair publish: 3 pairs, 2 rejects",
    ]
    assert sorted(repo.files()) == [".gitattributes", *PUBLISHED]
    assert repo.files()[PUBLISHED[1]] == (run / PUBLISHED[1]).read_bytes()
    assert json.loads(repo.files()["run.json"]) == {
        **json.loads((run / "run.json").read_text()),
        "license": "cc-by-4.0",
    }
    assert (done.counts, done.deleted, done.unchanged) == (Counts(3, 2), (), False)
    assert [path for path, _ in done.files] == PUBLISHED
    assert dict(done.files) == {path: len(repo.files()[path]) for path in PUBLISHED}
    assert done.commit == repo.branches["main"][-1].oid
    assert done.url == f"{hub.url}/datasets/me/pairs"
    assert repo.private is False


def test_what_went_up_loads(hub, run, send, tmp_path):
    send(run)
    folder = str(download(hub.repos["me/pairs"].files(), tmp_path / "downloaded"))
    assert datasets.load_dataset(folder, split="train")["id"][:] == [measured(number).id for number in range(3)]
    assert len(datasets.load_dataset(folder, "rejects", split="train")) == 2


def test_the_card_names_license_and_repository(hub, run, send):
    send(run)
    text = hub.repos["me/pairs"].files()["README.md"].decode()
    assert DatasetCard(text).data.license == "cc-by-4.0"
    assert 'load_dataset("me/pairs", split="train")' in text
    assert "PATH_OR_REPO_ID" not in text


def test_the_report_goes_up_where_there_is_one(hub, run, send):
    (run / "report.html").write_text("<p>")
    send(run)
    assert hub.repos["me/pairs"].files()["report.html"] == b"<p>"


def test_the_same_again_sends_nothing(hub, run, send):
    first = send(run)
    before = hub.uploaded.total()
    again = send(run)
    assert (again.unchanged, again.commit) == (True, first.commit)
    assert len(hub.repos["me/pairs"].branches["main"]) == 2
    assert hub.uploaded.total() == before


def test_a_new_version_takes_the_place_of_the_old_one_in_one_commit(hub, send, tmp_path):
    old = make_run(tmp_path / "old", 30, shard_bytes=4000, group_rows=5)
    (old / "report.html").write_text("<p>old")
    send(old)
    shards = [path for path in hub.repos["me/pairs"].files() if path.startswith("data/")]
    assert len(shards) > 1
    done = send(make_run(tmp_path / "new"))
    repo = hub.repos["me/pairs"]
    assert sorted(repo.files()) == [".gitattributes", *PUBLISHED]
    assert len(repo.branches["main"]) == 3
    assert sorted(done.deleted) == [*sorted(shards), "report.html"]
    loaded = datasets.load_dataset(str(download(repo.files(), tmp_path / "downloaded")), split="train")
    assert len(loaded) == 3


def test_files_of_others_stay(hub, run, send):
    hub.repos["me/pairs"] = new_repo(notes_md=b"mine", data__extra_csv=b"a,b", scripts__make_py=b"print()")
    send(run)
    files = hub.repos["me/pairs"].files()
    assert (files["notes.md"], files["data/extra.csv"], files["scripts/make.py"]) == (b"mine", b"a,b", b"print()")


def test_without_rejects_nothing_of_them_is_there(hub, run, send, tmp_path):
    send(run)
    done = send(run, rejects=False)
    files = hub.repos["me/pairs"].files()
    assert done.deleted == ("rejects/train-00000-of-00001.parquet",)
    assert not [path for path in files if path.startswith("rejects/")]
    front = DatasetCard(files["README.md"].decode()).data.to_dict()
    assert [it["config_name"] for it in front["configs"]] == ["default"]
    assert [it["config_name"] for it in front["dataset_info"]] == ["default"]
    assert '"rejects"' not in files["README.md"].decode()
    loaded = datasets.load_dataset(str(download(files, tmp_path / "downloaded")))
    assert len(loaded["train"]) == 3


def test_a_private_repository(hub, run, send):
    send(run, private=True)
    assert hub.repos["me/pairs"].private is True


def test_what_should_be_private_does_not_go_into_a_public_repository(hub, run, send):
    hub.repos["me/pairs"] = new_repo()
    with pytest.raises(ClairError, match="me/pairs is there already and is public"):
        send(run, private=True)
    assert len(hub.repos["me/pairs"].branches["main"]) == 1
    assert not hub.uploaded


def test_a_branch(hub, run, send):
    send(run, revision="v2")
    assert list(hub.repos["me/pairs"].files()) == [".gitattributes"]
    assert sorted(hub.repos["me/pairs"].files("v2")) == [".gitattributes", *PUBLISHED]
    assert send(run, revision="v2").unchanged


def test_a_pull_request(hub, run, send):
    done = send(run, create_pr=True)
    (pull,) = hub.repos["me/pairs"].pulls
    assert sorted(pull.tree) == [".gitattributes", *PUBLISHED]
    assert done.pr_url == f"{hub.url}/datasets/me/pairs/discussions/1"
    assert list(hub.repos["me/pairs"].files()) == [".gitattributes"]
    with pytest.raises(UsageError, match="leave --revision out"):
        send(run, create_pr=True, revision="v2")


def test_a_dataset_of_somebody_else_is_not_replaced(hub, run, send):
    """The files have the names that `push_to_hub` gives."""
    hub.repos["me/pairs"] = new_repo(**{"data__train-00000-of-00001_parquet": b"theirs"})
    with pytest.raises(ClairError, match="holds a dataset that is not from clair"):
        send(run)
    hub.repos["me/pairs"] = new_repo(README_md=b"---\nconfigs:\n- config_name: default\n  data_files: a.csv\n---\n")
    with pytest.raises(ClairError, match=r"not from clair \(default\)"):
        send(run)
    assert len(hub.repos["me/pairs"].branches["main"]) == 1


def test_a_folder_that_was_uploaded_by_hand_is_one_of_clair(hub, run, send):
    hub.repos["me/pairs"] = new_repo(**{"data__train-00000-of-00002_parquet": b"old", "run_json": b"{}"})
    assert send(run).deleted == ("data/train-00000-of-00002.parquet",)


@pytest.mark.parametrize(
    ("license", "message"),
    [
        (None, "a license is missing: --license ID"),
        ("", "a license is missing"),
        ("cc-by", r"'cc-by' is none of the identifiers that the Hub takes; near are cc-by-"),
        ("CC-BY-4.0", "near are cc-by-4.0"),
        ("!", "is none of the identifiers"),
    ],
)
def test_a_license_is_needed_before_anything_else(hub, run, send, license, message):
    with pytest.raises(UsageError, match=message):
        send(run, license=license)
    assert hub.requests == []


def test_a_license_that_only_the_hub_refuses(hub, run, send):
    with pytest.raises(
        RunStopped, match=r'the Hub refused: Invalid metadata in README\.md\. - "license" must be one of'
    ):
        send(run, license="odc-by")


@pytest.mark.parametrize("repo", ["pairs", "a/b/c", "me/", "me/a b", "me/a--b"])
def test_the_name_of_the_repository(run, send, repo):
    with pytest.raises(UsageError, match="repository"):
        send(run, repo)


def test_the_token_comes_from_the_named_variable(hub, run, send, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    monkeypatch.setenv("PUBLISHER", f"{TOKEN}\n")
    send(run, token_env="PUBLISHER")
    monkeypatch.setenv("PUBLISHER", "")
    with pytest.raises(UsageError, match="PUBLISHER is not set"):
        send(run, token_env="PUBLISHER")
    monkeypatch.setenv("PUBLISHER", "hf_a b")
    with pytest.raises(UsageError, match="cannot be a token") as caught:
        send(run, token_env="PUBLISHER")
    assert "hf_a" not in str(caught.value)


def test_somebody_else_commits_meanwhile(hub, run, send, slept):
    """The commit is made again, on top of what is there by then."""
    send(run)
    hub.faults.append(Fault("POST", "/commit/", status=412, message="The branch was updated"))
    make_run(run, 4)
    assert send(run).counts.pairs == 4
    assert hub.requests.count("GET /datasets/me/pairs/resolve/main/README.md") == 0  # by commit, never by branch
    hub.faults.append(Fault("POST", "/commit/", status=409, times=2))
    make_run(run, 5)
    with pytest.raises(RunStopped, match="somebody else keeps changing me/pairs"):
        send(run)
    assert len(hub.repos["me/pairs"].branches["main"]) == 3


def test_a_commit_between_reading_and_writing_is_kept(hub, run, send):
    """The other commit is real: the server makes it when the card is asked for."""
    send(run)
    theirs = b"# A hand-written introduction\n\n"
    original = hub._repo

    def intruding(request):
        if "/preupload/" in request.path and not hub.repos["me/pairs"].files().get("intro.md"):
            repo = hub.repos["me/pairs"]
            head = repo.branches["main"][-1]
            card = head.tree["README.md"].replace(b"\n<!-- clair:card -->", theirs + b"<!-- clair:card -->", 1)
            from tests.servers.hub import _commit

            repo.branches["main"].append(_commit({**head.tree, "intro.md": b"x", "README.md": card}, "intro", head.oid))
        return original(request)

    hub._repo = intruding
    make_run(run, 4)
    send(run)
    files = hub.repos["me/pairs"].files()
    assert theirs.decode() in files["README.md"].decode()
    assert "4 preference pairs" in files["README.md"].decode()
    assert [commit.message for commit in hub.repos["me/pairs"].branches["main"]][2:] == [
        "intro",
        "clair publish: 4 pairs, 2 rejects",
    ]


def test_a_busy_hub_is_waited_for_as_long_as_it_asks(hub, run, send, slept):
    for path in ("/api/repos/create", "/commit/", "/preupload/"):
        hub.faults.append(Fault("POST", path, status=429, headers={"Retry-After": "7"}))
    assert send(run).commit
    assert slept == [7, 8, 7]  # the client itself waits a second longer, for what it repeats itself


def test_a_date_as_retry_after(hub, run, send, slept):
    headers = {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    hub.faults.append(Fault("POST", "/api/repos/create", status=429, headers=headers))
    assert send(run).commit
    assert slept == [30]


def test_a_hub_that_stays_busy_or_asks_for_hours(hub, run, send, slept):
    hub.faults.append(Fault("POST", "/commit/", status=429, headers={"Retry-After": "2"}, times=99))
    with pytest.raises(
        RunStopped, match=r"the Hub is asked too often \(HTTP 429: scripted\). Wait 2 s. The same command"
    ):
        send(run)
    assert slept == [2, 2, 2]
    hub.faults[:] = [Fault("POST", "/commit/", status=429, headers={"Retry-After": "7200"})]
    with pytest.raises(RunStopped, match="Wait 7200 s"):
        send(run)
    assert slept == [2, 2, 2]


def test_a_server_error_that_committed_all_the_same(hub, run, send):
    """Seen on the real Hub: HTTP 500, and the commit is there. The second try finds nothing left to do."""
    hub.faults.append(Fault("POST", "/commit/", status=500, does_it_first=True))
    assert send(run).unchanged
    assert len(hub.repos["me/pairs"].branches["main"]) == 2


def test_a_server_that_stays_broken(hub, run, send):
    hub.faults.append(Fault("POST", "/commit/", status=503, times=99))
    with pytest.raises(RunStopped, match=r"the Hub has trouble \(HTTP 503: scripted\)") as caught:
        send(run)
    assert RESUME in str(caught.value)


def test_an_upload_that_breaks_off_once_is_repeated_by_the_client(hub, run, send, slept):
    hub.faults.append(Fault("PUT", "/storage/", cut_at=500))
    assert send(run).commit
    assert slept == [1]


def test_after_a_broken_upload_the_same_command_sends_only_the_rest(hub, send, tmp_path):
    run = make_run(tmp_path / "run", 30, shard_bytes=4000, group_rows=5)
    shards = len(list((run / "data").glob("train-*"))) + 1
    hub.faults.append(Fault("PUT", "/storage/", cut_at=500, passes=2, times=10**6))
    with pytest.raises(RunStopped, match="the connection to the Hub failed") as caught:
        send(run)
    assert RESUME in str(caught.value)
    assert len(hub.repos["me/pairs"].branches["main"]) == 1
    assert 1 < hub.uploaded.total() < shards
    hub.faults.clear()
    send(run)
    assert hub.uploaded.total() == shards
    assert set(hub.uploaded.values()) == {1}


def test_a_storage_that_refuses(hub, run, send):
    hub.faults.append(Fault("PUT", "/storage/", status=403, message="Request has expired", times=9))
    with pytest.raises(RunStopped, match="Request has expired"):
        send(run)


@pytest.mark.parametrize(
    ("repo", "message"),
    [
        ("other/pairs", r"HTTP 403: You don't have the rights .* Set HF_TOKEN to one that may write to other"),
        ("nobody/pairs", r"HTTP 404: Organization not found\). Check that nobody is a user or an organization"),
    ],
)
def test_a_namespace_of_others_or_of_nobody(run, send, repo, message):
    with pytest.raises(RunStopped, match=message):
        send(run, repo)


def test_a_token_that_the_hub_does_not_know(run, send, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_unknown0123456789")
    with pytest.raises(RunStopped, match=r"HTTP 401: Invalid credentials .*/settings/tokens and set HF_TOKEN"):
        send(run)


def test_no_hub_at_all(run, send):
    with pytest.raises(RunStopped, match="the connection to the Hub failed"):
        send(run, endpoint="http://127.0.0.1:9")


def test_the_token_is_in_no_message_log_or_traceback(hub, run, send, caplog):
    """The server repeats it in every way it can."""
    import traceback

    caplog.set_level(logging.INFO)
    for status in (400, 401, 403, 404, 409, 412, 429, 500, 503):
        for message in (f"Bearer {TOKEN} is bad", "x" * 290 + TOKEN):
            hub.faults[:] = [Fault("POST", "/commit/", status=status, message=message, times=99)]
            with pytest.raises(RunStopped) as caught:
                send(run)
            shown = "".join(traceback.format_exception(caught.value))
            assert all(TOKEN[:end] not in shown for end in (8, len(TOKEN)))
            assert TOKEN not in caplog.text


def test_a_hub_card_that_is_not_yaml(hub, run, send):
    hub.repos["me/pairs"] = new_repo(README_md=b"---\na: [\n---\n")
    with pytest.raises(ClairError, match="front matter of the card on the Hub is not YAML"):
        send(run)
