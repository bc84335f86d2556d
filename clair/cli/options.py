"""Command-line options made from a model of settings: a field is an option, its description the help text."""

from __future__ import annotations

import types
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from clair.settings import GenerateSettings, resolve

Command = TypeVar("Command", bound=Callable[..., Any])

SHORT = {"out": "-o", "limit": "-n"}
NOT_OPTIONS = {"prompts", "prices", "batch_prices"}  # the argument, and tables that only a config file can hold well


def generate_options(command: Command) -> Command:
    """Decorate a command with the PROMPTS argument, one option per setting, and --config."""
    return click.argument("prompts", required=False)(options_of(GenerateSettings, without=NOT_OPTIONS)(command))


def options_of(settings: type[BaseModel], *, without: Collection[str]) -> Callable[[Command], Command]:
    """Decorate a command with one option per field of `settings`, and --config."""

    def decorate(command: Command) -> Command:
        for name, field in reversed(settings.model_fields.items()):
            if name not in without:
                command = _option(name, field)(command)
        return click.option(
            "--config", type=click.Path(path_type=Path), help="YAML file; every option has a key, options win"
        )(command)

    return decorate


def settings_from(options: dict[str, Any]) -> GenerateSettings:
    """The settings of a command decorated with `generate_options`."""
    config = options.pop("config")
    return resolve(given(options), config)


def given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value is not None and value != ()}


def _option(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    flags = [f"--{name.replace('_', '-')}", name]
    if name in SHORT:
        flags.insert(0, SHORT[name])
    kind, many = _click_type(field.annotation)
    text = field.description or ""
    if field.annotation is bool:
        flags[-2] += f"/--no-{flags[-2].removeprefix('--')}"  # a flag must be able to win over a --config file
        return click.option(*flags, default=None, help=text)
    if field.default not in (None, ()):
        text += f"  [default: {field.default}]"
    return click.option(*flags, type=kind, multiple=many, default=None, help=text)


def _click_type(annotation: Any) -> tuple[Any, bool]:
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation)), False
    if get_origin(annotation) is tuple:
        return click.STRING, True
    return {int: click.INT, float: click.FLOAT}.get(annotation, click.STRING), False
