"""Starting the command costs next to nothing: heavy libraries wait until a subcommand needs them.

Real: an interpreter of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import clair

HEAVY = {"torch", "transformers", "datasets", "openai", "pyarrow", "pydantic", "aiohttp", "httpx", "numpy", "rapidfuzz"}

PROBE = """
import json, sys
try:
    {code}
finally:
    print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(code=code)], check=False, capture_output=True, text=True, timeout=60
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import clair",
        "from clair.cli import main; main(['--help'])",
        "from clair.cli import main; main(['--version'])",
        "from clair.cli import main; main(['no-such-command'])",
    ],
)
def test_nothing_heavy_is_imported(code: str):
    assert loaded_by(code) & HEAVY == set()


def test_options_are_shown_without_what_a_run_needs():
    assert loaded_by("from clair.cli import main; main(['generate', '--help'])") & HEAVY == {"pydantic"}


def test_the_package_shows_what_it_offers():
    assert dir(clair) == sorted(clair.__all__)
    for name in set(clair.__all__) - {"train"}:  # training needs the extra
        assert getattr(clair, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = clair.nothing  # type: ignore[attr-defined]
