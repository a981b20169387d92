"""Run the service: `python -m <package>.serving`. The environment has the settings."""

from .server import main

if __name__ == "__main__":
    main()
