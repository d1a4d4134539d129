"""Run as a program: somebody else's process on the same machine, with secrets in all the places that processes have.

python -I -S escape_victim.py SECRET_IN_COMMAND_LINE SECRET_IN_MEMORY SECRET_IN_FILE
"""

import ctypes
import json
import os
import signal
import sys


def main() -> None:
    """Tell where things are, then live on until the end of standard input."""
    memory = ctypes.create_string_buffer(sys.argv[2].encode()[::-1], 64)
    file = os.memfd_create("notes")
    os.write(file, sys.argv[3].encode()[::-1])
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    print(json.dumps({"address": ctypes.addressof(memory), "fd": file}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
