"""The ``dinku`` command; Ctrl-C ends it with one line even while it is starting."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from dinku.cli.app import main as run
    except KeyboardInterrupt:
        print("dinku: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
