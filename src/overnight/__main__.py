"""Starts the command line, nothing else."""

from overnight.cli.app import app


def main() -> None:
    """The program `overnight`."""
    app.main()


if __name__ == "__main__":
    main()
