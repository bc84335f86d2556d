"""`clair publish`: a run goes to the Hugging Face Hub, or into a folder to be looked at first."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from clair.cli.terminal import printable
from clair.errors import UsageError

if TYPE_CHECKING:
    from clair.hub.publish import Published


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("repo")
@click.option("--license", metavar="ID", help="license of the data, as the Hub writes it: cc-by-4.0, odc-by, mit, ...")
@click.option("--private", is_flag=True, help="make a private repository")
@click.option("--no-rejects", "rejects", flag_value=False, default=True, help="leave the rejects at home")
@click.option("--token-env", metavar="NAME", help="variable with the token  [default: HF_TOKEN, or `hf auth login`]")
@click.option("--revision", metavar="BRANCH", help="branch; made if it is not there  [default: main]")
@click.option("--create-pr", is_flag=True, help="offer the change as a pull request")
@click.option("--allow-secret", "allow_secrets", multiple=True, metavar="ID",
              help="row (or file) that holds what looks like a secret and is none (repeatable)")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="check, and write what would go up into --out; ask nobody")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FOLDER",
              help="folder of --dry-run  [default: RUN-to-publish]")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="print one JSON object on stdout")
def command(
    run: Path,
    repo: str,
    license: str | None,
    private: bool,
    rejects: bool,
    token_env: str | None,
    revision: str | None,
    create_pr: bool,
    allow_secrets: tuple[str, ...],
    dry_run: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Publish the run folder RUN as the dataset REPO (OWNER/NAME) on the Hugging Face Hub.

    Goes up: data, rejects, card, report and run.json, in one commit. Never the ledger. A card that is there keeps
    what others wrote in it. A run with damaged files, with pairs that break its gate, or with keys in its texts is
    refused. The same command again sends only what is missing.
    """
    from clair.hub.publish import publish, write_publication

    if dry_run:
        folder = out or run.with_name(f"{run.resolve().name}-to-publish")
        done = write_publication(run, folder, repo=repo, license=license, rejects=rejects, allow_secrets=allow_secrets)
    elif out is not None:
        raise UsageError("-o is for --dry-run: what is published goes to the Hub")
    else:
        _be_quiet()
        done = publish(
            run, repo, license=license, private=private, rejects=rejects, revision=revision, create_pr=create_pr,
            allow_secrets=allow_secrets, token_env=token_env,
        )  # fmt: skip
    click.echo(json.dumps(_as_dict(done)) if as_json else printable(_as_text(done)))
    if dry_run and not as_json:
        click.echo(f"\nwritten to {folder}; nothing was sent")


def _be_quiet() -> None:
    """The client's log names signed addresses and repeats what servers say; what matters comes as an error. Its
    progress bars are for terminals.
    """
    from huggingface_hub.utils import disable_progress_bars, logging  # type: ignore[attr-defined]

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    if not sys.stderr.isatty():
        disable_progress_bars()


def _as_dict(done: Published) -> dict[str, object]:
    return {
        "repo": done.repo,
        "url": done.url,
        "commit": done.commit,
        "pr_url": done.pr_url,
        "unchanged": done.unchanged,
        "pairs": done.counts.pairs,
        "rejects": done.counts.rejects,
        "files": [{"path": path, "size": size} for path, size in done.files],
        "deleted": list(done.deleted),
    }


def _as_text(done: Published) -> str:
    lines = [f"{_size(size):>10}  {path}" for path, size in done.files]
    lines += [f"{'deleted':>10}  {path}" for path in done.deleted if not done.unchanged]
    lines.append(f"{_size(sum(size for _, size in done.files)):>10}  in {len(done.files)} files")
    if done.pr_url:
        lines += ["", f"offered at {done.pr_url}"]
    elif done.unchanged:
        lines += ["", f"{done.url} has all of this already: nothing was sent"]
    elif done.url:
        lines += ["", f"published {done.counts.pairs:,} pairs at {done.url}"]
    return "\n".join(lines)


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
