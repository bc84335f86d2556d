"""One call from a run folder to a folder that a trainer loads.

    export("run", "llama-factory", "run-for-llama-factory", test_share=0.05)

The files depend on the pairs and the options alone: the same call gives the same bytes. Rows are streamed, so a run
of any size takes the memory of one batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from clair.errors import ClairError, UsageError
from clair.exports.card import extra_files, readme
from clair.exports.folder import MANIFEST, Staging
from clair.exports.formats import FORMATS, format_name
from clair.exports.rows import PAIRS, Pairs, find_shards, read_batches, read_schema
from clair.exports.sides import SHORT_ANSWER, Sides
from clair.exports.split import check_share


@dataclass(frozen=True)
class Exported:
    """What an export wrote: the pairs in it, its records by split, the pairs left out by reason, the file names."""

    format: str
    run: str
    out: str
    pairs: int
    records: dict[str, int]
    left_out: dict[str, int]
    notes: tuple[str, ...]
    files: tuple[str, ...]


def export(
    run: str | Path,
    format: str,
    out: str | Path,
    *,
    test_share: float = 0.0,
    seed: int = 0,
    pairs: Pairs = "whole",
) -> Exported:
    """Write the pairs of the folder `run` into the folder `out`, in one of the FORMATS (or under an alias).

    `test_share` is the share of prompts that go into a test file; `seed` salts that choice and the order of mixed
    records. `pairs` says what becomes of chains: "whole", "steps" or "all". An earlier export in `out` is replaced
    when everything is written.

    Raises:
        UsageError: an unknown format, a wrong option, a run without pairs, or an `out` that is not ours.
        ClairError: a damaged run, answers that this format would change, or a file that cannot be written.
    """
    name = format_name(format)
    check_share(test_share)
    if pairs not in PAIRS:
        raise UsageError(f"--pairs {pairs!r} is unknown; expected one of {', '.join(PAIRS)}")
    if Path(out).suffix in (".jsonl", ".json", ".parquet"):
        raise UsageError(
            f"-o {str(out)!r} looks like a file. An export is a folder: name one without {Path(out).suffix}"
        )
    find_shards(Path(run))
    try:
        return _export(Path(run), name, Path(out), test_share=test_share, seed=seed, pairs=pairs)
    except OSError as error:
        raise ClairError(
            f"cannot write the export into {str(out)!r}: {error.strerror or error}. An earlier export there is as it "
            "was; make room, or name another folder with -o"
        ) from error


def _export(run: Path, name: str, out: Path, *, test_share: float, seed: int, pairs: Pairs) -> Exported:
    schema = read_schema(find_shards(run)[0])
    with Staging(out) as staging:
        with Sides(staging, name, schema, test_share=test_share, seed=seed) as sides:
            for batch in read_batches(run, pairs=pairs, every_column=FORMATS[name].columns is None):
                sides.add(batch)
        _refuse_useless(run, name, sides)
        notes = _notes(name, sides, test_share)
        facts = [_facts(sides, pairs), *([_split_fact(test_share, seed)] if test_share else []), *notes]
        texts = {**extra_files(name, sides.names), "README.md": _readme(staging, run, name, schema, sides, facts)}
        for file, text in texts.items():
            staging.path(file).write_bytes(text.encode("utf-8"))
        found = Exported(
            format=name,
            run=str(run),
            out=str(out),
            pairs=sides.pairs,
            records=sides.records,
            left_out=dict(sorted(sides.left_out.items())),
            notes=tuple(notes),
            files=(*sides.names.values(), *texts, MANIFEST),
        )
        staging.publish(_manifest(found, run, test_share=test_share, seed=seed, pairs=pairs))
    return found


def _readme(staging: Staging, run: Path, name: str, schema: pa.Schema, sides: Sides, facts: list[str]) -> str:
    sizes = {split: staging.path(file).stat().st_size for split, file in sides.names.items()}
    return readme(
        name,
        run=run.resolve().name,
        schema=schema,
        files=sides.names,
        records=sides.records,
        sizes=sizes,
        facts=facts,
    )


def _manifest(found: Exported, run: Path, **options: Any) -> dict[str, Any]:
    return {
        "format": found.format,
        "run": run.resolve().name,
        "options": options,
        "pairs": found.pairs,
        "records": found.records,
        "left_out": found.left_out,
    }


def _refuse_useless(run: Path, name: str, sides: Sides) -> None:
    left_out = "; ".join(f"{number:,} left out: {reason}" for reason, number in sides.left_out.items())
    if not sides.pairs and not left_out:
        raise UsageError(f"{str(run)!r} holds no pairs to export. Its rejects say why: `clair report {run}`.")
    if not sides.pairs:
        raise UsageError(f"No pair of {str(run)!r} can be written as {name} ({left_out}). Choose another --format.")
    if "train" not in sides.names:
        raise UsageError(
            f"Of {_pairs(sides.pairs)} of {str(run)!r} every one falls on the test side. Choose a lower --test-share."
        )
    sides.refuse_dates()


def _notes(name: str, sides: Sides, test_share: float) -> list[str]:
    notes = [f"left out, {_pairs(number)}: {reason}" for reason, number in sorted(sides.left_out.items())]
    if test_share and "test" not in sides.names:
        notes.append("no test file: none of the prompts fell on the test side, there are too few for this share")
    if name == "axolotl" and sides.short:
        notes.append(
            f"in {_pairs(sides.short)} an answer is shorter than {SHORT_ANSWER} characters. axolotl finds an answer by "
            "searching a rendered chat for its text, so one that also occurs in the template's own words is cut wrong: "
            "check with `axolotl preprocess --debug`"
        )
    return notes


def _pairs(number: int) -> str:
    return f"{number:,} pair" + ("" if number == 1 else "s")


def _facts(sides: Sides, pairs: Pairs) -> str:
    chosen = {"whole": "", "steps": " (steps of chains)", "all": " (whole pairs and the steps of chains)"}[pairs]
    return f"{_pairs(sides.pairs)}{chosen}: " + ", ".join(
        f"{n:,} {split} records" for split, n in sides.records.items()
    )


def _split_fact(test_share: float, seed: int) -> str:
    return f"test holds {test_share:.3g} of the prompts, chosen by a hash of the prompt with seed {seed}"
