"""From an exported model to a running container: `python -m deploy --help`."""
