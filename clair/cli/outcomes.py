"""Pairs and rejects in a terminal: prompt, word diff, rationale, figures. Used by `clair preview` and `clair show`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clair.cli.terminal import printable, word_diff
from clair.records import Outcome, Pair, Reject


def show_outcomes(outcomes: Iterable[Outcome], *, ids: bool = False) -> int:
    """Print outcomes under numbered rules, with their ids if asked for; returns how many there were."""
    from rich.console import Console
    from rich.rule import Rule

    console = Console(highlight=False)
    console.soft_wrap = not console.is_terminal  # in a file, a line of the answer stays one line
    number = 0
    for number, outcome in enumerate(outcomes, start=1):
        console.print(Rule(f"row {number}", align="left"), soft_wrap=False)
        if ids:
            console.print(f"{outcome.id} from {printable(outcome.source)}, record {outcome.source_index}", markup=False)
        for message in outcome.prompt:
            console.print(f"{message['role']}: {printable(message['content'])}", style="dim", markup=False)
        if isinstance(outcome, Pair):
            _show_pair(console, outcome)
        else:
            _show_reject(console, outcome)
    console.print()
    return number


def _show_pair(console: Any, pair: Pair) -> None:
    contrast = pair.contrast
    if pair.parent_id is not None:
        console.print(f"step {pair.step} of {printable(pair.parent_id)}", style="dim", markup=False)
    _show_diff(console, pair.rejected, pair.chosen)
    console.print(f"why: {printable(pair.rationale)}", style="italic", markup=False)
    console.print(
        f"pair ({printable(pair.protocol)}, {pair.spent.attempts} attempt(s)): "
        f"{1 - contrast.word_similarity:.0%} of the words changed in {contrast.edits} edit(s), "
        f"Jaccard {contrast.jaccard:.2f}, length ratio {contrast.length_ratio:.2f}",
        style="green",
        markup=False,
    )


def _show_reject(console: Any, reject: Reject) -> None:
    text = f"reject at {printable(reject.stage)}: {printable(reject.reason)}"
    console.print(text, style="yellow", markup=False)
    console.print(printable(reject.detail), markup=False)
    if reject.response is not None and reject.revision is not None:
        _show_diff(console, reject.response, reject.revision)
    elif reject.response is not None:
        console.print(printable(reject.response), markup=False)


def _show_diff(console: Any, rejected: str, chosen: str) -> None:
    console.print(word_diff(rejected, chosen, styled=console.color_system is not None))
