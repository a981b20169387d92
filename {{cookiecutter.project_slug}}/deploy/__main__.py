"""The commands behind `make image smoke push deploy rollback`."""

import argparse
import sys

from . import image, target
from .settings import Settings
from .shell import DeployError
from .smoke import smoke


def deploy(settings: Settings) -> str:
    """Run the pushed image where this project is deployed, without a dropped request."""
    return target.deploy(image.pushed_image(settings), settings)


COMMANDS = {
    "build": image.build,
    "smoke": smoke,
    "push": image.push,
    "deploy": deploy,
    "rollback": target.rollback,
}
parser = argparse.ArgumentParser(prog="python -m deploy", description=__doc__)
parser.add_argument("command", choices=COMMANDS)
try:
    print(COMMANDS[parser.parse_args().command](Settings()))
except DeployError as error:
    sys.exit(f"error: {error}")
