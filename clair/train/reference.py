"""Log-probs of the reference model: computed once, kept on disk, found again by content.

One safetensors file per reference model, precision and kernel holds the log-probs of every pair it has ever seen,
token by token in float32, under the pair's hash. Learning rate, objective, beta, epochs, order and selection of the
data are not part of any key, so a sweep computes the reference once.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from clair.train.layout import LAYOUT_VERSION, PairTokens

logger = logging.getLogger(__name__)

Logps = NDArray[np.float32]


def pair_key(pair: PairTokens) -> bytes:
    """16 bytes that stand for the token ids of a pair."""
    digest = hashlib.sha256()
    for part in pair:
        data = array("i", part).tobytes()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()[:16]


def weights_key(model: Any) -> str:
    """Hex digest of a reference: every parameter and buffer that is saved, and the config.

    Of a LoRA model, only the base counts.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        if "lora_" in name:
            continue
        name = name.removeprefix("base_model.model.").replace(".base_layer.", ".")
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    unrelated = ("_name_or_path", "transformers_version", "use_cache", "dtype")
    config = {k: v for k, v in model.config.to_dict().items() if k not in unrelated}
    digest.update(repr(sorted(config.items())).encode())
    return digest.hexdigest()


def model_key(weights: str, *, numerics: str) -> str:
    """Hex name of a reference with these weights (`weights_key`) and the way it is computed.

    `numerics` names precision, kernel and device type.
    """
    return hashlib.sha256(f"{LAYOUT_VERSION} {numerics} {weights}".encode()).hexdigest()[:32]


def default_folder() -> Path:
    """`clair/reference` in the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clair" / "reference"


def load(folder: Path, name: str) -> dict[bytes, Logps]:
    """Every stored pair of reference `name`. A file that cannot be read counts as empty, with a warning."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        return {}
    try:
        stored = load_file(path)
        keys, ends, values = stored["keys"], stored["ends"], stored["logps"]
    except (SafetensorError, KeyError, OSError) as error:
        logger.warning("the reference cache %s cannot be read and is made again: %s", path, error)
        return {}
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    return {keys[i].tobytes(): values[starts[i] : ends[i]] for i in range(len(keys))}


def store(folder: Path, name: str, logps: Mapping[bytes, Logps]) -> Path:
    """Add `logps` to what is stored under `name`, of which nothing changes: another run may have added to it.

    Written to a temporary file first, then renamed. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    temporary = folder / f".{name}.{os.getpid()}.tmp"
    logps = {**logps, **load(folder, name)}
    values = list(logps.values())
    try:
        save_file(
            {
                "keys": np.frombuffer(b"".join(logps), dtype=np.uint8).reshape(-1, 16).copy(),
                "ends": np.cumsum([len(v) for v in values], dtype=np.int64),
                "logps": np.concatenate([np.asarray(v, dtype=np.float32) for v in values]),
            },
            temporary,
        )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


class Additions:
    """Log-probs on their way into the cache: stored about each minute, and when the `with` block is left in any way.

    A file that cannot be written is a warning. Without `folder` nothing is stored.
    """

    def __init__(self, folder: Path | None, name: str, *, every_s: float = 60) -> None:
        self.folder = folder
        self.name = name
        self.every_s = every_s
        self._fresh: dict[bytes, Logps] = {}
        self._due = time.monotonic() + every_s

    def __enter__(self) -> Additions:
        return self

    def __exit__(self, *exception: object) -> None:
        self._store()

    def add(self, logps: Mapping[bytes, Logps]) -> None:
        self._fresh |= logps
        if time.monotonic() >= self._due:
            self._store()

    def _store(self) -> None:
        if self.folder is None or not self._fresh:
            return
        began = time.monotonic()
        try:
            store(self.folder, self.name, self._fresh)
            self._fresh = {}
        except (OSError, SafetensorError) as error:
            logger.warning("the reference cache cannot be written to %s: %s", self.folder, error)
        # A large file is written less often, so that writing never takes more than a tenth of the time.
        self._due = time.monotonic() + max(self.every_s, 10 * (time.monotonic() - began))


def missing(pairs: Sequence[PairTokens], known: Mapping[bytes, Logps]) -> list[PairTokens]:
    """The pairs without stored log-probs, each once."""
    wanted = {pair_key(pair): pair for pair in pairs}
    return [pair for key, pair in wanted.items() if key not in known]
