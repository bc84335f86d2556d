"""The card that goes up: the run's own, merged with the one that is on the Hub. Text in, text out.

    text = prepared(card_of_the_run, repo="me/pairs", license="cc-by-4.0", rejects=True)
    text = merged(text, card_on_the_hub)

What others wrote stays: foreign configurations and other keys of the front matter, and all text outside of the two
marks between which the run's card stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from clair.dataset.card import CONFIGS
from clair.dataset.markdown import END, REJECTS_END, REJECTS_START, START
from clair.errors import ClairError

ANYWHERE = "PATH_OR_REPO_ID"
_FRONT = re.compile(r"\s*---[ \t]*\r?\n(.*?)(?:\r?\n)?^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_LISTS = ("tags", "task_categories", "annotations_creators")
_BY_NAME = ("configs", "dataset_info")


def prepared(card: str, *, repo: str, license: str, rejects: bool) -> str:
    """The run's card for this repository: with its name as the title, its id in the loading example, and the license;
    without `rejects` nothing of them is offered.
    """
    front, body = split_card(card, "the card of the run")
    if START not in body:  # a folder made before there were marks
        body = f"\n{START}\n\n{body.strip()}\n\n{END}\n"
    head, heading, rest = body.partition("\n## ")
    body = head.replace(ANYWHERE, repo) + heading + rest
    if not rejects:
        body = re.sub(rf"{re.escape(REJECTS_START)}.*?{re.escape(REJECTS_END)}\n*", "", body, flags=re.DOTALL)
        front |= {key: [it for it in _named(front, key) if it["config_name"] != "rejects"] for key in _BY_NAME}
    name = repo.partition("/")[2]
    body = re.sub(r"^# .*$", f"# {name}", body, count=1, flags=re.MULTILINE)
    return joined({"license": license, **front, **{"license": license, "pretty_name": name}}, body)


def merged(own: str, theirs: str | None) -> str:
    """The own card (as from `prepared`) in place of an earlier one inside `theirs`.

    Raises:
        ClairError: the front matter of `theirs` cannot be read, or would contradict the own one.
    """
    if not theirs or not theirs.strip():
        return own
    own_front, own_body = split_card(own, "the card of the run")
    their_front, their_body = split_card(theirs, "the card on the Hub")
    return joined(_merged_front(own_front, their_front), _merged_body(own_body, their_body))


def is_ours(card: str | None) -> bool:
    """Whether a card on the Hub came from a run."""
    return card is not None and START in card


def config_names(card: str | None) -> set[str]:
    """The configurations that a card names."""
    front = split_card(card, "the card on the Hub")[0] if card else {}
    return {it["config_name"] for key in _BY_NAME for it in _named(front, key)}


def split_card(card: str, whose: str) -> tuple[dict[str, Any], str]:
    """Front matter and body. Raises ClairError if the front matter is no YAML mapping."""
    found = _FRONT.match(card.removeprefix("\ufeff"))
    if found is None:
        return {}, card
    try:
        front = yaml.load(found[1], _Loader)  # noqa: S506 (a SafeLoader with less)
    except yaml.YAMLError as error:
        raise ClairError(f"the front matter of {whose} is not YAML: {error}. Mend it, then publish again") from error
    if front is None:
        front = {}
    if not isinstance(front, dict):
        raise ClairError(f"the front matter of {whose} must hold keys and values. Mend it, then publish again")
    return front, card.removeprefix("\ufeff")[found.end() :]


def joined(front: Mapping[str, Any], body: str) -> str:
    """A card of its two parts."""
    text = yaml.dump(dict(front), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}---\n{body}"


class _Loader(yaml.SafeLoader):
    """Reads `no` (Norwegian), `on` and dates as the text that they are for everybody but YAML 1.1."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, re.compile(r"true|false|True|False|TRUE|FALSE") if tag.endswith(":bool") else pattern)
        for tag, pattern in resolvers
        if not tag.endswith(":timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """Writes no aliases: `datasets` cannot load them."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _merged_front(own: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, Any]:
    front = {**own, **theirs, **{key: own[key] for key in ("license", "size_categories") if key in own}}
    for key in _LISTS:
        front[key] = list(dict.fromkeys([*_items(theirs.get(key)), *_items(own.get(key))]))
    for key in _BY_NAME:
        foreign = [it for it in _named(theirs, key) if it["config_name"] not in CONFIGS]
        front[key] = [*_named(own, key), *foreign]
    defaults = [it["config_name"] for it in front["configs"] if it.get("default")]
    if len(defaults) > 1:
        raise ClairError(
            f"the card on the Hub marks {defaults[1]!r} as the default configuration, and the pairs would be a second "
            "one. Take `default: true` out of that card, or publish to another repository"
        )
    return front


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def _named(front: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The entries of `configs` or `dataset_info`; a single one may stand without a list, and without a name."""
    entries: Iterable[Any] = _items(front.get(key))
    return [{"config_name": "default", **it} for it in entries if isinstance(it, dict)]


def _merged_body(own: str, theirs: str) -> str:
    start, end = theirs.find(START), theirs.rfind(END)
    if 0 <= start < end:
        block = own[own.find(START) : own.rfind(END)]
        return theirs[:start] + block + theirs[end:]
    if not theirs.strip():
        return own
    return f"{theirs.rstrip()}\n{own}"
