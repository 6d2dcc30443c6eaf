"""Run ``bentoml containerize`` from any folder, as long as BentoML's issue 5566 is open.

BentoML 1.4.36 to 1.4.40 copy a Bento with its Dockerfile template to a temporary folder, and then
refuse to read the copy because it is not below the current folder. ``pyproject.toml`` registers
this command under ``bentoml.commands``, BentoML's hook for extensions. It is BentoML's own command
without this check; the template was already checked when the Bento was built.
"""

from __future__ import annotations

import functools

import click
from bentoml._internal.container import generate
from bentoml_cli.containerize import containerize_command


@click.command(
    containerize_command.name,
    short_help=containerize_command.get_short_help_str(),
    context_settings={"ignore_unknown_options": True},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def containerize(arguments: tuple[str, ...]) -> None:
    """Run BentoML's command in the folder in which it looks for the template."""
    generate.resolve_user_filepath = functools.partial(generate.resolve_user_filepath, secure=False)
    containerize_command.main(args=list(arguments), prog_name="bentoml containerize")
