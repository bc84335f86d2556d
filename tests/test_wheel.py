"""The built wheel, installed into a clean environment and used there.

Real: build, pip, venv, command, server. Doubles: the two models.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.servers import world
from tests.servers.chat import ChatServer

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT)], folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_holds_package_prompts_and_student_and_nothing_else(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert {"clair/_prompts/rewrite.md", "clair/_prompts/edits.md"} <= set(names)
    assert "clair/_data/sandbox-student/model.safetensors" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"clair"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_installed_command_makes_pairs(wheel: Path, tmp_path: Path):
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    _run([str(python), "-m", "pip", "install", "--quiet", str(wheel)], tmp_path)
    prompts = world.write_prompts(tmp_path / "prompts.jsonl", 10)
    with ChatServer(world.answer, models=("target", "reviser")) as server:
        command = [str(tmp_path / "env" / "bin" / "clair"), "generate", str(prompts), "-o", "run", "--json"]
        command += ["--target", f"target@{server.base_url}", "--reviser", f"reviser@{server.base_url}"]
        summary = json.loads(_run(command, tmp_path))
    assert summary["counts"] == {"rows": 10, "pairs": 10, "rejects": 0}
    code = "import datasets; print(datasets.load_dataset('run')['train'].num_rows)"
    assert _run([str(python), "-c", code], tmp_path).strip() == "10"


def _run(command: list[str], cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(cwd / "hf")}
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
