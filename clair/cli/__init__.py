"""The `clair` command. Each subcommand is one file here that is imported only when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from clair import __version__
from clair.cli.terminal import printable
from clair.errors import ClairError

COMMANDS = {
    "generate": "Make minimally contrastive pairs from prompts and two models.",
    "templates": "The built-in prompts: list, show, copy them.",
    "preview": "Buy a few rows and look at them: diffs, gate verdicts, cost forecast.",
    "report": "Write the page that shows a run: figures, audit, every pair with its diff.",
    "show": "Look at pairs and rejects of a run in the terminal.",
    "export": "Write the pairs of a run for another trainer.",
    "publish": "Put a run on the Hugging Face Hub, as a dataset with its card.",
    "train-apo": "Align a model on pairs with Anchored Preference Optimization.",
    "eval": "Score a model: exactly in the sandbox, by a judge's win rate elsewhere.",
    "study": "Compare datasets and objectives in the sandbox, as the paper does.",
    "sandbox": "The built-in world: serve it, or print its problems.",
    "doctor": "What is installed, which GPU there is, which endpoints answer.",
}
"""Subcommand -> one line of help. Held here so that `clair --help` imports no subcommand."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"clair.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ClairError as error:
            click.echo(f"clair: {printable(str(error))}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("clair: interrupted", err=True)
            ctx.exit(130)


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Without arguments, `clair generate` runs in the built-in sandbox: no key, no network, no GPU.",
)
@click.version_option(__version__)
def main() -> None:
    """Minimally contrastive preference data (CLAIR) and an APO trainer."""


if __name__ == "__main__":
    sys.exit(main())
