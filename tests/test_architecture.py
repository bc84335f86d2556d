"""The shape of the package: who may import whom, what importing costs, what is public. Reads the sources themselves."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import clair

PACKAGE = Path(clair.__file__).parent
PURE = {"records", "errors", "words"}

MAY_IMPORT = {
    "records": set(),
    "errors": {"records"},
    "words": set(),
    "templates": PURE,
    "contrast": PURE,
    "revision": PURE | {"templates", "contrast"},
    "recipes": PURE | {"templates", "contrast", "revision"},
    "endpoints": PURE,
    "ledger": PURE,
    "sources": PURE,
    "hygiene": PURE | {"sources"},
    "dataset": PURE | {"contrast", "revision"},  # for the diffs in the card, and the audit
    "report": PURE | {"contrast", "dataset"},
    "exports": PURE | {"dataset"},
    "hub": PURE | {"contrast", "dataset"},
    "settings": PURE,
    "sandbox": PURE | {"contrast", "sources"},
    "train": PURE,
    "pipeline": PURE
    | {
        "templates",
        "contrast",
        "recipes",
        "endpoints",
        "ledger",
        "sources",
        "hygiene",
        "dataset",
        "report",
        "settings",
        "sandbox",
    },
    "engines": PURE | {"pipeline", "settings", "dataset", "endpoints", "ledger", "recipes", "templates"},
    "api": PURE | {"settings", "pipeline", "engines", "dataset"},
    "evaluation": PURE
    | {
        "api",
        "contrast",
        "dataset",
        "endpoints",
        "ledger",
        "pipeline",
        "recipes",
        "sandbox",
        "settings",
        "sources",
        "templates",
    },
    "study": PURE | {"api", "dataset", "ledger", "report", "sandbox", "train"},
    "builders": PURE | {"settings", "api", "dataset"},
}
"""Module or package -> what of clair it may import. `cli` may import everything; nothing may import `cli`."""

HEAVY = ("torch", "transformers", "datasets", "openai", "pyarrow", "pydantic", "httpx", "numpy", "rich")


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= (
                {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "clair" else {node.module}
            )
    return {name.split(".")[1] for name in found if name.startswith("clair.")}


def test_imports_follow_the_drawn_directions():
    wrong = [
        f"{path.relative_to(PACKAGE)} imports clair.{name}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if _part(path) in MAY_IMPORT
        for name in sorted(_imports(path) - MAY_IMPORT[_part(path)] - {_part(path), "__version__"})
    ]
    assert wrong == []


def test_every_part_of_the_package_is_drawn():
    parts = {_part(path) for path in PACKAGE.rglob("*.py")} - {"__init__", "__main__", "cli"}
    assert parts == set(MAY_IMPORT)


def test_nothing_but_endpoints_and_the_sandbox_knows_the_openai_client_or_http():
    allowed = {"endpoints", "sandbox"}
    guilty = [
        str(path.relative_to(PACKAGE))
        for path in sorted(PACKAGE.rglob("*.py"))
        if _part(path) not in allowed
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("openai", "aiohttp", "httpx"))
        or (
            isinstance(node, ast.Import)
            and any(alias.name.split(".")[0] in ("openai", "aiohttp") for alias in node.names)
        )
    ]
    assert guilty == []


def test_importing_clair_and_asking_for_help_stay_light():
    code = (
        "import sys, clair\n"
        "from clair.cli import main\n"
        "main(['--help'], standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_public_names_are_all_there():
    assert sorted(clair.__all__) == dir(clair)
    for name in clair.__all__:
        assert getattr(clair, name) is not None


def test_no_file_is_longer_than_a_sitting():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {str(path): length for path, length in lengths.items() if length > 400} == {}
