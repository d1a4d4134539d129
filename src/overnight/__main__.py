"""Starts the command line, nothing else."""

from overnight.cli.door import main

if __name__ == "__main__":
    main()
