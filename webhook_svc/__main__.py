"""`python -m webhook_svc`, and the console script `webhook-svc`."""

import io
import sys

from .cli import cli


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that knows ASCII only gets escapes instead of an error.
            stream.reconfigure(errors="backslashreplace")
    cli(prog_name="webhook-svc")


if __name__ == "__main__":
    main()
