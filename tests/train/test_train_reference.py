"""The cache of reference log-probs: what its keys depend on, and files that survive. Real files and models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import tiny_model

from clair.train import reference
from clair.train.layout import PairTokens
from clair.train.reference import model_key, pair_key, weights_key

PAIR = PairTokens((1, 2), (3, 4), (5,))
LOGPS = {
    pair_key(PAIR): np.array([-1.5, -2.5, -3.5], np.float32),
    pair_key(PairTokens((1,), (2,), (3,))): np.zeros(2, np.float32),
}


def test_a_pair_is_known_by_its_tokens_and_their_places() -> None:
    assert pair_key(PAIR) == pair_key(PairTokens([1, 2], [3, 4], [5]))
    others = [PairTokens((1, 2), (3,), (4, 5)), PairTokens((1,), (2, 3, 4), (5,)), PairTokens((1, 2), (5,), (3, 4))]
    assert len({pair_key(PAIR), *map(pair_key, others)}) == 4


def test_a_model_is_known_by_its_weights_and_numerics() -> None:
    model = tiny_model()
    weights = weights_key(model)
    assert weights == weights_key(tiny_model())
    assert model_key(weights, numerics="sdpa float32 cpu") == model_key(weights, numerics="sdpa float32 cpu")
    assert model_key(weights, numerics="sdpa float32 cpu") != model_key(weights, numerics="varlen bfloat16 cuda")
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 1e-3
    assert weights != weights_key(model)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_an_adapter_does_not_change_the_reference() -> None:
    """Rank and initial values of a LoRA adapter are no part of the key: the reference is the base model."""
    from peft import LoraConfig, get_peft_model

    key = weights_key(tiny_model())
    for rank in (2, 4):
        adapted = get_peft_model(tiny_model(), LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM"))
        assert weights_key(adapted.get_base_model()) == key


def test_what_is_stored_is_found_again(tmp_path: Path) -> None:
    path = reference.store(tmp_path / "new", "abc", LOGPS)
    found = reference.load(tmp_path / "new", "abc")
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in LOGPS.items()}
    assert [p.name for p in path.parent.iterdir()] == ["abc.safetensors"]
    assert reference.load(tmp_path, "other") == {}


def test_runs_that_share_a_cache_keep_each_other_s_pairs(tmp_path: Path) -> None:
    """What is stored first stays: the run that computed it may have to find it again to the last bit."""
    key, other = LOGPS
    reference.store(tmp_path, "abc", {key: LOGPS[key]})
    reference.store(tmp_path, "abc", {key: LOGPS[key] + 1e-6, other: LOGPS[other]})
    found = reference.load(tmp_path, "abc")
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in LOGPS.items()}


def test_additions_are_stored_when_due_and_at_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key, other = LOGPS

    def interrupted(folder: Path | None, every_s: float, then: int) -> None:
        with reference.Additions(folder, "abc", every_s=every_s) as additions:
            additions.add({key: LOGPS[key]})
            assert folder is None or len(reference.load(folder, "abc")) == then
            additions.add({other: LOGPS[other]})
            raise KeyboardInterrupt

    for folder, every_s, then in ((tmp_path / "due", 0, 1), (tmp_path / "later", 1000, 0), (None, 0, 0)):
        with pytest.raises(KeyboardInterrupt):
            interrupted(folder, every_s, then)
        assert folder is None or len(reference.load(folder, "abc")) == 2
    (tmp_path / "file").write_text("")
    with reference.Additions(tmp_path / "file", "abc") as additions:
        additions.add(LOGPS)
    assert "the reference cache cannot be written to" in caplog.text


def test_only_unknown_pairs_are_missing_and_each_once() -> None:
    new = PairTokens((8,), (8,), (9,))
    assert reference.missing([PAIR, new, new], LOGPS) == [new]


def test_a_damaged_file_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = reference.store(tmp_path, "abc", LOGPS)
    path.write_bytes(path.read_bytes()[:50])
    assert reference.load(tmp_path, "abc") == {}
    assert "cannot be read and is made again" in caplog.text


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up while the temporary file is written (a double of `save_file`)."""
    reference.store(tmp_path, "abc", LOGPS)

    def full(tensors: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reference, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        reference.store(tmp_path, "abc", LOGPS)
    assert len(reference.load(tmp_path, "abc")) == 2
    assert [p.name for p in tmp_path.iterdir()] == ["abc.safetensors"]


def test_the_folder_follows_the_user_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert reference.default_folder() == Path("/somewhere/clair/reference")
