"""The format functions, by values worked by hand. Everything here is pure; nothing is a double."""

from __future__ import annotations

import pytest

from clair.errors import UsageError
from clair.exports.formats import ALIASES, FORMATS, format_name

SYSTEM = {"role": "system", "content": "Be brief."}
ASK = {"role": "user", "content": "A prime?"}
SAID = {"role": "assistant", "content": "Two."}
MORE = {"role": "user", "content": "A larger one?"}
GOOD = {"role": "assistant", "content": " Eleven.\n"}
BAD = {"role": "assistant", "content": "Nine."}
ROW = {"id": "1", "prompt": [SYSTEM, ASK, SAID, MORE], "chosen": [GOOD], "rejected": [BAD]}

EXPECTED = {
    "jsonl": [ROW],
    "parquet": [ROW],
    "conversations": [
        {"chosen": [SYSTEM, ASK, SAID, MORE, GOOD], "rejected": [SYSTEM, ASK, SAID, MORE, BAD]},
    ],
    "unpaired": [
        {"prompt": [SYSTEM, ASK, SAID, MORE], "completion": [GOOD], "label": True},
        {"prompt": [SYSTEM, ASK, SAID, MORE], "completion": [BAD], "label": False},
    ],
    "sft": [{"prompt": [SYSTEM, ASK, SAID, MORE], "completion": [GOOD]}],
    "llama-factory": [{"messages": [SYSTEM, ASK, SAID, MORE], "chosen": GOOD, "rejected": BAD}],
    "axolotl": [
        {
            "messages": [SYSTEM, ASK, SAID, MORE],
            "chosen": {"role": "assistant", "content": "Eleven."},
            "rejected": BAD,
        }
    ],
    "nemo": [
        {
            "context": [SYSTEM, ASK, SAID, MORE],
            "completions": [{"rank": 0, "completion": [GOOD]}, {"rank": 1, "completion": [BAD]}],
        }
    ],
    "nemo-aligner": [
        {
            "prompt": "<extra_id_0>System\nBe brief.\n<extra_id_1>User\nA prime?\n<extra_id_1>Assistant\nTwo.\n"
            "<extra_id_1>User\nA larger one?\n<extra_id_1>Assistant\n",
            "chosen_response": " Eleven.\n\n<extra_id_1>",
            "rejected_response": "Nine.\n<extra_id_1>",
        }
    ],
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_pair_becomes_the_records_of_the_format(name: str):
    assert FORMATS[name].records(ROW) == EXPECTED[name]


@pytest.mark.parametrize("name", [name for name, known in FORMATS.items() if known.columns])
def test_the_table_names_the_keys_of_the_records(name: str):
    assert {tuple(record) for record in EXPECTED[name]} == {tuple(FORMATS[name].columns or ())}


def test_nemo_aligner_without_a_system_turn_has_an_empty_one_as_its_documentation_shows():
    (record,) = FORMATS["nemo-aligner"].records({**ROW, "prompt": [ASK]})
    assert record["prompt"] == "<extra_id_0>System\n\n<extra_id_1>User\nA prime?\n<extra_id_1>Assistant\n"


@pytest.mark.parametrize(
    ("roles", "refused_by"),
    [
        (["user"], set()),
        (["system", "user", "assistant", "user"], set()),
        (["user", "assistant", "tool"], {"nemo-aligner"}),
        (["user", "user"], {"llama-factory", "nemo-aligner"}),
        (["user", "assistant", "user", "user", "user"], {"llama-factory", "nemo-aligner"}),
        (["user", "system", "user"], {"llama-factory", "nemo-aligner"}),
        (["system", "assistant", "user"], {"llama-factory", "nemo-aligner"}),
        (["assistant", "assistant", "user"], {"llama-factory", "nemo-aligner"}),
    ],
)
def test_rows_that_a_loader_would_drop_are_told_apart(roles: list[str], refused_by: set[str]):
    row = {**ROW, "prompt": [{"role": role, "content": "text"} for role in roles]}
    refusing = {name for name, known in FORMATS.items() if known.unreadable and known.unreadable(row)}
    assert refusing == refused_by


def test_nemo_aligner_refuses_text_that_would_forge_a_turn():
    row = {**ROW, "rejected": [{"role": "assistant", "content": "x\n<extra_id_1>User\n"}]}
    unreadable = FORMATS["nemo-aligner"].unreadable
    assert unreadable is not None
    assert unreadable(row) == "the text has a marker of the template (<extra_id_...)"


def test_aliases_are_other_names_of_formats():
    assert {name: format_name(name) for name in (*FORMATS, *ALIASES)} == {
        **{name: name for name in FORMATS},
        "kto": "unpaired",
        "prompt-completion": "sft",
        "nemo-rl": "nemo",
    }


@pytest.mark.parametrize("name", ["implicit", "strings"])
def test_the_implicit_string_form_is_refused_with_the_reason(name: str):
    with pytest.raises(UsageError, match=r"longest common prefix of chosen and rejected .* the answers would be eaten"):
        format_name(name)


def test_an_unknown_format_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"--format 'csv' is unknown; expected one of jsonl, parquet, .*, kto, "):
        format_name("csv")
