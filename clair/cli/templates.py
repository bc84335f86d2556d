"""`clair templates`: the built-in prompts, listed, shown, and copied to be changed."""

from __future__ import annotations

from pathlib import Path

import click

from clair.errors import UsageError
from clair.templates import Template, built_in, load, prompt_file

PRINCIPLES = "principles"


@click.group(invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """The built-in prompts. Without a subcommand, list them.

    Copy one, change it, and give it to clair generate as --template (or --judge-template): its fields are checked
    before anything is bought.
    """
    if ctx.invoked_subcommand is None:
        for template in built_in():
            click.echo(_described(template))
        click.echo(
            "principles\n  what the recipe constitutional draws from, one principle a line; own ones: --principles"
        )


@command.command()
@click.argument("name")
def show(name: str) -> None:
    """Print the prompt NAME as it is in its file."""
    click.echo(_text(name), nl=False)


@command.command()
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="write over a file that is there")
def copy(name: str, path: Path, force: bool) -> None:
    """Copy the prompt NAME to PATH, a file or a folder."""
    text = _text(name)
    target = path / _file(name).name if path.is_dir() else path
    if target.exists() and not force:
        raise UsageError(f"{str(target)!r} is there already: name another file, or add --force")
    try:
        target.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise UsageError(f"cannot write {str(target)!r}: {error.strerror or error}") from error
    click.echo(f"wrote {target}; use it with clair generate {_option(name)} {target}")


def _described(template: Template) -> str:
    fields = ", ".join(sorted(template.fields))
    return f"{template.name}\n  {template.purpose}\n  protocol: {template.protocol}; fields: {fields}"


def _text(name: str) -> str:
    names = [*(template.name for template in built_in()), PRINCIPLES]
    if name not in names:
        raise UsageError(f"there is no built-in prompt {name!r}: expected one of {', '.join(names)}")
    return _file(name).read_text(encoding="utf-8")


def _file(name: str) -> Path:
    return prompt_file(f"{name}.{'txt' if name == PRINCIPLES else 'md'}")


def _option(name: str) -> str:
    if name == PRINCIPLES:
        return "--principles"
    return "--judge-template" if load(name).protocol in ("verdict", "score") else "--template"
