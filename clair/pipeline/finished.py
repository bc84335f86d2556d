"""A finished run that is as it was left: the same command again finds that out in seconds, and leaves it alone.

    finished = Finished(settings, ledger, facts, derivation=..., input=input_of(settings), total=...)
    summary = finished.untouched()     # not None: there is no row to visit and no file to write
    summary = finished.unwritten()     # after a pass over the rows; not None: there is no file to write
    finished.seal(summary)             # at the end: if nothing is left to do, say so in the ledger

What a run holds is made from its ledger, its input, and what `RunFacts` and the derivation name: settings, models,
templates, gate, checker, versions; and by clair's own source. The ledger's seal holds only while nobody else has opened
it (`clair.ledger.sealing`), and all else is compared by content, the written files too. Whatever differs, or cannot be
known (a dataset id may stand for other rows tomorrow), makes the run do all of its work.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

import clair
from clair.dataset.summary import RunFacts, RunSummary
from clair.dataset.writer import FOLDERS
from clair.ledger import sealing
from clair.ledger.keys import canonical_json
from clair.ledger.store import Ledger
from clair.records import RETRYABLE
from clair.settings import PLACE, SANDBOX, GenerateSettings
from clair.sources.fingerprint import content_hash, fingerprint

FILES = ("README.md", "run.json", "report.html")
PACKAGES = ("datasketch", "numpy", "pydantic", "pyyaml")
"""They decide what a near-duplicate is and how files look; `RunFacts.versions` has the others."""


@dataclass(frozen=True)
class Seal:
    """What a run was made from, what it made, and its figures. Digests stand for what is large.

    `input` is that of `input_of`, `total` the number of its rows; `rows` names those that were claimed, in their order.
    `files` has the sha256 of each. `figures` is the summary without its facts, for these are a part of `made_by`.
    """

    input: str | None
    total: int | None
    made_by: str
    rows: str
    files: dict[str, str]
    figures: dict[str, Any]


_SEAL, _SUMMARY = TypeAdapter(Seal), TypeAdapter(RunSummary)


class Finished:
    """What one invocation knows of the run before it and after it.

    `input` is what `input_of` said before the input was read, `total` the number of its rows, None if unknown.
    """

    def __init__(
        self,
        settings: GenerateSettings,
        ledger: Ledger,
        facts: RunFacts,
        *,
        derivation: str,
        input: str | None,
        total: int | None,
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._facts = facts
        self._input, self._total = input, total
        self._made_by = _digest([derivation, asdict(facts), _source(), _versions()])

    def untouched(self) -> RunSummary | None:
        """The run's figures, if a pass over the input would find what the last one found, and change nothing."""
        seal = _read(self._ledger.sealed)
        if seal is None or self._input is None or seal.input != self._input or not self._left_alone(seal):
            return None
        assert self._ledger.sealed is not None
        self._ledger.seal(self._ledger.sealed)
        return self._summary(seal)

    def unwritten(self) -> RunSummary | None:
        """The run's figures, if the pass that is over changed nothing, and had the rows of the last one."""
        seal = _read(self._ledger.sealed)
        if seal is None or seal.rows != self._ledger.claimed() or not self._left_alone(seal):
            return None
        return self._summary(seal)

    def seal(self, summary: RunSummary) -> None:
        """Seal the ledger, if no row of this pass is left open or would be tried again."""
        counts = self._ledger.counts()
        ended = counts.pairs + sum(counts.rejects.values())
        if counts.rows != ended or RETRYABLE & counts.rejects.keys():
            return
        # An input that was written to while it was read is not known.
        same_input = self._input is not None and input_of(self._settings) == self._input
        seal = Seal(
            input=self._input if same_input else None,
            total=self._total,
            made_by=self._made_by,
            rows=self._ledger.claimed(),
            files=_files(self._settings.run_dir),
            figures=_SUMMARY.dump_python(summary, mode="json", exclude={"facts"}),
        )
        self._ledger.seal(_SEAL.dump_json(seal))

    def _left_alone(self, seal: Seal) -> bool:
        return seal.made_by == self._made_by and seal.files == _files(self._settings.run_dir)

    def _summary(self, seal: Seal) -> RunSummary:
        return _SUMMARY.validate_python({**seal.figures, "facts": self._facts})


def input_of(settings: GenerateSettings) -> str | None:
    """Names the input's content and how it is read; None if that cannot be known without reading it."""
    prompts = SANDBOX if settings.prompts == SANDBOX else fingerprint(settings.prompts)
    contents = [prompts, *map(fingerprint, settings.decontaminate)]
    if None in contents:
        return None
    return _digest([contents, settings.model_dump(mode="json", exclude=set(PLACE)), _source(), _versions()])


def known_total(run_dir: Path, input: str | None) -> int | None:
    """How many rows this input has, if an earlier invocation counted them."""
    seal = _read(sealing.peek(run_dir))
    return seal.total if seal is not None and input is not None and seal.input == input else None


def _read(sealed: bytes | None) -> Seal | None:
    try:
        return None if sealed is None else _SEAL.validate_json(sealed)
    except ValidationError:  # that of another version of clair
        return None


def _files(run_dir: Path) -> dict[str, str]:
    """The content of all that `write_run_folder` writes, and of all that lies beside the shards."""
    found = [run_dir / name for name in FILES]
    found += [path for folder in FOLDERS.values() for path in (run_dir / folder).glob("*")]
    return {path.relative_to(run_dir).as_posix(): content_hash(path) for path in sorted(found) if path.is_file()}


@cache
def _source() -> str:
    return source_of(Path(clair.__file__).parent)


def source_of(package: Path) -> str:
    """Names a package by its content: a checkout changes without a change of version."""
    found = sorted(path for ending in ("py", "js", "css") for path in package.rglob(f"*.{ending}"))
    return _digest([[path.relative_to(package).as_posix(), content_hash(path)] for path in found])


@cache
def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in PACKAGES}


def _digest(value: object) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()
