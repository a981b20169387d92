"""The commands behind `make image smoke push deploy rollback`."""

import sys
from collections.abc import Callable

import typer

from . import image, target
from .settings import Settings
from .shell import DeployError

app = typer.Typer(help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)


def command(function: Callable[[Settings], str]) -> None:
    """Make a command of a function; what it returns is printed, its errors are one sentence."""

    def call() -> None:
        try:
            print(function(Settings()))
        except DeployError as error:
            sys.exit(f"error: {error}")

    help_text = (function.__doc__ or "").partition("\n")[0]
    app.command(function.__name__, help=help_text)(call)


def deploy(settings: Settings) -> str:
    """Run the pushed image where this project is deployed, without a dropped request."""
    return target.deploy(image.pushed_image(settings), settings)


command(image.build)
command(image.smoke)
command(image.push)
command(deploy)
command(target.rollback)
app()
