"""The card that goes up, merged with the one on the Hub. Pure; `huggingface_hub`'s own classes read the results."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import DatasetCard, DatasetCardData

from clair.dataset.markdown import END, START
from clair.errors import ClairError
from clair.hub.card import config_names, is_ours, merged, prepared, split_card
from tests.hub.runs import make_run


@pytest.fixture
def own(tmp_path):
    """The card of a run, prepared for me/pairs."""
    text = (make_run(tmp_path / "run") / "README.md").read_text()
    return prepared(text, repo="me/pairs", license="cc-by-4.0", rejects=True)


def front_of(card):
    return split_card(card, "it")[0]


def test_the_hubs_own_classes_read_the_card(own):
    data = DatasetCard(own).data
    assert isinstance(data, DatasetCardData)
    assert (data.license, data.pretty_name, data.size_categories) == ("cc-by-4.0", "pairs", ["n<1K"])
    assert {"synthetic", "preference", "dpo", "apo", "clair"} <= set(data.tags)
    assert "\n# pairs\n" in own
    assert "https://arxiv.org/abs/2408.06266" in own


def test_preparing_a_card_again_changes_nothing(own):
    assert prepared(own, repo="me/pairs", license="cc-by-4.0", rejects=True) == own


def test_a_card_from_before_there_were_marks_gets_them(own):
    front, body = own.split("---\n")[1:3]
    bare = body.replace(START, "").replace(END, "")
    again = prepared(f"---\n{front}---\n{bare}", repo="me/pairs", license="mit", rejects=True)
    assert again.count(START) == again.count(END) == 1


def test_without_a_card_there_the_own_one_goes_up(own):
    assert merged(own, None) == own
    assert merged(own, " \n") == own
    assert merged(own, "---\n{}\n---\n").endswith(own.partition("---\n")[2].partition("---\n")[2])


THEIRS = """\
---
license: mit
pretty_name: My pairs
language: no
version: 1.10
released: 2024-02-30
extra_gated_prompt: "Please: agree"
tags:
- mine
- clair
task_categories: question-answering
configs:
- config_name: other
  data_files: other.csv
- config_name: rejects
  data_files: old.parquet
dataset_info:
- config_name: other
  splits:
  - name: train
    num_examples: 7
- config_name: default
  splits:
  - name: train
    num_examples: 1
---
# An introduction by hand

See the `notes`.

"""


def test_what_others_wrote_in_the_front_matter_stays(own):
    front = front_of(merged(own, THEIRS))
    assert front["license"] == "cc-by-4.0"
    assert front["pretty_name"] == "My pairs"
    assert front["language"] == "no"
    assert front["released"] == "2024-02-30"
    assert front["extra_gated_prompt"] == "Please: agree"
    assert front["tags"] == ["mine", "clair", "synthetic", "preference", "dpo", "apo", "trl"]
    assert front["task_categories"] == ["question-answering", "text-generation"]
    assert [it["config_name"] for it in front["configs"]] == ["default", "rejects", "other"]
    assert front["configs"][1]["data_files"] == [{"split": "train", "path": "rejects/train-*.parquet"}]
    assert [it["config_name"] for it in front["dataset_info"]] == ["default", "rejects", "other"]
    assert front["dataset_info"][0]["splits"][0]["num_examples"] == 3
    assert front["dataset_info"][2]["splits"][0]["num_examples"] == 7


def test_no_and_dates_do_not_change_when_the_hub_reads_them(own):
    """The Hub reads YAML 1.2, Python's parser 1.1: text that either takes for something else is quoted."""
    data = DatasetCard(merged(own, THEIRS)).data.to_dict()
    assert (data["language"], data["released"]) == ("no", "2024-02-30")


def test_text_of_others_stays_around_the_card(own):
    first = merged(own, THEIRS)
    body = split_card(first, "it")[1]
    assert body.startswith("# An introduction by hand\n\nSee the `notes`.\n")
    edited = first.replace(END, f"{END}\n\nA footnote by hand.")
    newer = own.replace("3 preference pairs", "4 preference pairs")
    second = merged(newer, edited)
    assert "An introduction by hand" in second
    assert second.rstrip().endswith("A footnote by hand.")
    assert "4 preference pairs" in second
    assert "3 preference pairs" not in second
    assert second.count(START) == second.count(END) == second.count("## Funnel") == 1
    assert merged(newer, second) == second


def test_windows_line_ends_and_a_byte_order_mark(own):
    text = merged(own, "\ufeff" + THEIRS.replace("\n", "\r\n"))
    assert front_of(text)["pretty_name"] == "My pairs"
    assert "# An introduction by hand\r\n" in text


def test_single_entries_without_a_list_or_a_name_are_understood(own):
    theirs = "---\nconfigs:\n  config_name: other\n  data_files: a.csv\ndataset_info:\n  splits: []\n---\n"
    front = front_of(merged(own, theirs))
    assert [it["config_name"] for it in front["configs"]] == ["default", "rejects", "other"]
    assert [it["config_name"] for it in front["dataset_info"]] == ["default", "rejects"]
    assert config_names(theirs) == {"other", "default"}


def test_a_second_default_configuration_is_refused(own):
    theirs = "---\nconfigs:\n- config_name: other\n  default: true\n  data_files: a.csv\n---\n"
    with pytest.raises(ClairError, match="marks 'other' as the default configuration"):
        merged(own, theirs)


@pytest.mark.parametrize("front", ["a: [", "- a\n- b", "just text"])
def test_a_front_matter_that_cannot_be_read_is_refused(own, front):
    with pytest.raises(ClairError, match="the front matter of the card on the Hub"):
        merged(own, f"---\n{front}\n---\n")


def test_without_rejects_they_are_not_offered(tmp_path):
    text = (make_run(tmp_path / "run") / "README.md").read_text()
    card = prepared(text, repo="me/pairs", license="mit", rejects=False)
    front = front_of(card)
    assert [it["config_name"] for it in front["configs"] + front["dataset_info"]] == ["default", "default"]
    assert "Configuration `rejects`" not in card
    assert '"rejects"' not in card
    assert "## Funnel" in card  # how many there were is still told


def test_rejects_of_an_earlier_version_leave_the_card(own, tmp_path):
    text = (make_run(tmp_path / "other") / "README.md").read_text()
    card = merged(prepared(text, repo="me/pairs", license="mit", rejects=False), own)
    assert config_names(card) == {"default"}


def test_the_card_has_no_yaml_alias(own):
    assert "&id" not in own
    assert yaml.safe_load(own.split("---\n")[1])["license"] == "cc-by-4.0"


def test_whose_card_it_is(own):
    assert is_ours(own)
    assert not is_ours(THEIRS)
    assert not is_ours(None)
