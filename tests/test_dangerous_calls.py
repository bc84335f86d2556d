"""What this program never does: run text as code, load pickles, skip the check of certificates.

Reads the sources themselves; no doubles.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import clair

PACKAGE = Path(clair.__file__).parent
CODE_FROM_TEXT = {"eval", "exec", "compile", "os.system", "os.popen", "runpy.run_path"}
CODE_FROM_DATA = {"pickle", "cPickle", "dill", "marshal", "shelve", "joblib", "cloudpickle"}
UNSAFE_LOADERS = {"torch.load", "numpy.load", "np.load"}
YAML = {
    "yaml.YAMLError",
    "yaml.safe_load",
    "yaml.safe_dump",
    "yaml.dump",
    "yaml.load",
    "yaml.SafeLoader",
    "yaml.SafeDumper",
}
"""What is used of PyYAML; `yaml.load` needs a loader, and there is only one to derive it from."""
UNCHECKED = {"ssl._create_unverified_context", "ssl.CERT_NONE"}
MODELS = {"AutoModelForCausalLM.from_pretrained"}
MODEL_PARTS = MODELS | {"AutoTokenizer.from_pretrained", "AutoConfig.from_pretrained"}


def _nodes() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}", node


def _calls() -> Iterator[tuple[str, str, dict[str, ast.expr]]]:
    """Where, what is called, and its keyword arguments."""
    for where, node in _nodes():
        if isinstance(node, ast.Call):
            yield where, ast.unparse(node.func), {word.arg: word.value for word in node.keywords if word.arg}


def _is(value: ast.expr | None, wanted: object) -> bool:
    return isinstance(value, ast.Constant) and value.value is wanted


def test_no_text_is_run_as_code_and_no_shell_is_used():
    guilty = [
        f"{where} {called}"
        for where, called, words in _calls()
        if called in CODE_FROM_TEXT or ("shell" in words and not _is(words["shell"], False))
    ]
    assert guilty == []


def test_nothing_is_unpickled():
    imported = [
        where
        for where, node in _nodes()
        if (isinstance(node, ast.Import) and any(name.name.split(".")[0] in CODE_FROM_DATA for name in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in CODE_FROM_DATA)
    ]
    assert imported == []
    assert [f"{where} {called}" for where, called, _ in _calls() if called in UNSAFE_LOADERS] == []


def test_yaml_makes_plain_values_only():
    used = {(where, ast.unparse(node)) for where, node in _nodes() if isinstance(node, ast.Attribute)}
    strange = {(where, name) for where, name in used if name.startswith("yaml.") and name.count(".") == 1}
    assert {(where, name) for where, name in strange if name not in YAML} == set()


def test_models_come_from_safetensors_and_without_code_of_their_own():
    found = [(where, called, words) for where, called, words in _calls() if called in MODEL_PARTS]
    assert len(found) >= 5
    for where, called, words in found:
        assert _is(words.get("trust_remote_code"), False), where
        assert called not in MODELS or _is(words.get("use_safetensors"), True), where


def test_certificates_are_always_checked():
    guilty = [
        where
        for where, called, words in _calls()
        if any(name in words and _is(words[name], False) for name in ("verify", "ssl", "check_hostname", "verify_ssl"))
        or called in UNCHECKED
    ]
    guilty += [where for where, node in _nodes() if isinstance(node, ast.Attribute) and ast.unparse(node) in UNCHECKED]
    assert guilty == []
