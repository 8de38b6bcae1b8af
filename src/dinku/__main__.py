"""The ``dinku`` command, which Ctrl-C ends in one line however early it comes."""

import sys


def main() -> None:
    try:
        from dinku.cli.app import main as run
    except KeyboardInterrupt:
        print("dinku: interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
