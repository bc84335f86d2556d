"""The figures on real answers equal those of plain Python: Mistral-7B's as rejected, GPT-4's as chosen.

Real: 400 answers of both models to AlpacaEval, where the file is at hand. Nothing of clair computes what is expected
but the Levenshtein distance of rapidfuzz.
"""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from itertools import takewhile
from pathlib import Path

import pytest
from rapidfuzz.distance import Levenshtein

from clair.contrast import measure
from clair.report.scan import scan
from tests.dataset.dataset_examples import pair
from tests.report.examples import asking, write_run

DATA = Path(__file__).parents[3] / "shared" / "data" / "alpaca_eval_outputs.jsonl"

pytestmark = pytest.mark.skipif(not DATA.is_file(), reason="alpaca_eval_outputs.jsonl is not beside this checkout")


@pytest.fixture(scope="module")
def texts():
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    names = ("gpt4_1106_preview", "Mistral-7B-Instruct-v0.2")
    return [(row["instruction"], *(row["outputs"][name] for name in names)) for row in rows]


@pytest.fixture(scope="module")
def figures(texts, tmp_path_factory):
    pairs = (
        pair(n, prompt=asking(prompt), chosen=chosen, rejected=rejected, contrast=measure(chosen, rejected))
        for n, (prompt, chosen, rejected) in enumerate(texts)
    )
    return scan(write_run(tmp_path_factory.mktemp("alpaca"), pairs)).figures


def split(text):
    """Words; the kana and Han letters that a few answers have are one each."""
    return re.findall(r"[ぁ-ヺー-ヿ㐀-鿿]|[^\sぁ-ヺー-ヿ㐀-鿿]+", text)


def found(figures, name):
    return next(it for it in figures.distributions if it.axis.name == name)


def check(distribution, values):
    """Quartiles by `statistics`, bins by counting."""
    quartiles = statistics.quantiles(values, n=4, method="inclusive")
    assert vars(distribution.quartiles) == pytest.approx(dict(zip(("q1", "median", "q3"), quartiles, strict=True)))
    assert sum(it.count for it in distribution.bins) == len(values)
    for place, it in enumerate(distribution.bins):
        last = place == len(distribution.bins) - 1
        above = [value for value in values if it.low is None or value >= it.low]
        inside = [value for value in above if it.high is None or value < it.high or (last and value == it.high)]
        assert it.count == len(inside)


def test_contrast(texts, figures):
    words = [(split(chosen), split(rejected)) for _, chosen, rejected in texts]
    check(found(figures, "length_ratio"), [len(chosen) / len(rejected) for chosen, rejected in words])
    check(
        found(figures, "word_similarity"),
        [1 - Levenshtein.distance(*both) / max(map(len, both)) for both in words],
    )
    same = [list(takewhile(lambda it: it[0] == it[1], zip(*both, strict=False))) for both in words]
    check(found(figures, "shared_prefix"), [len(it) / len(both[1]) for it, both in zip(same, words, strict=True)])
    edits = []
    for chosen, rejected in words:
        changed = [op.tag != "equal" for op in Levenshtein.opcodes(rejected, chosen)]
        edits.append(sum(now and not before for before, now in zip([False, *changed], changed, strict=False)))
    check(found(figures, "edits"), edits)


def test_lengths(texts, figures):
    differences = [len(split(chosen)) - len(split(rejected)) for _, chosen, rejected in texts]
    length = figures.audit.length
    assert length.mean == pytest.approx(statistics.mean(differences))
    assert [*vars(length.quartiles).values()] == statistics.quantiles(differences, n=4, method="inclusive")
    assert length.chosen_longer == sum(it > 0 for it in differences) / 400
    assert length.chosen_shorter == sum(it < 0 for it in differences) / 400
    assert length.equal == sum(it == 0 for it in differences) / 400


def bare(text):
    """Words in lower case without what is no letter or digit at their ends."""
    found = set()
    for word in split(text):
        while word and not word[0].isalnum():
            word = word[1:]
        while word and not word[-1].isalnum():
            word = word[:-1]
        if len(word) <= 40:
            found.add(word.lower())
    return found - {""}


def test_words_and_openings(texts, figures):
    chosen_only, rejected_only = Counter(), Counter()
    openings = Counter(), Counter()
    for _, chosen, rejected in texts:
        chosen_only.update(bare(chosen) - bare(rejected))
        rejected_only.update(bare(rejected) - bare(chosen))
        first = [" ".join(split(text)[:4]) for text in (chosen, rejected)]
        if first[0] != first[1]:
            for side, text in zip(openings, first, strict=True):
                side[text] += 1
    audit = figures.audit
    assert audit.missed == 0
    for listed, leaning, other in (
        (audit.only_chosen_words, chosen_only, rejected_only), (audit.only_rejected_words, rejected_only, chosen_only)
    ):  # fmt: skip
        leans = sorted((leaning[word] - other[word] for word in leaning), reverse=True)
        assert [abs(it.chosen - it.rejected) for it in listed] == leans[:20]
        assert all((it.chosen, it.rejected) == (chosen_only[it.text], rejected_only[it.text]) for it in listed)
    assert [(it.chosen, it.rejected) for it in audit.openings] == [
        (openings[0][it.text], openings[1][it.text]) for it in audit.openings
    ]
    assert (audit.openings[0].text, audit.openings[0].rejected) == ("I'd be happy to", 10)


def test_counts_and_cost(figures):
    assert (figures.rows, figures.pairs, figures.rejected, figures.cost_usd.value) == (400, 400, 0, 200.0)
