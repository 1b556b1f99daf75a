"""How the help of a command is laid out: examples as they are written, headings that stand out."""

import inspect
import os
import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup


class Command(TyperCommand):
    """A command whose examples are printed as they are written."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Name the options and arguments without typer's braces."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def get_help(self, ctx: Any) -> str:
        """Put the examples behind what typer says."""
        return _help(super().get_help(ctx), self.epilog)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Leave it to `get_help`."""


class Group(TyperGroup):
    """The list of commands, likewise."""

    def get_help(self, ctx: Any) -> str:
        """Put the examples behind what typer says."""
        return _help(super().get_help(ctx), self.epilog)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Leave it to `get_help`."""


def _help(text: str, epilog: str | None) -> str:
    """Append the examples, and make headings stand out; typer undoes that in a pipe."""
    if epilog:
        text = f"{text.rstrip()}\n\n{inspect.cleandoc(epilog)}"
    if "NO_COLOR" in os.environ:
        return text
    return re.sub(r"(?m)^\w+:", lambda match: typer.style(match[0], bold=True), text)
