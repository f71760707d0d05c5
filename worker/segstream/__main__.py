"""``python -m segstream`` is the command `segstream`."""

import sys

try:
    from segstream.cli import main

    if __name__ == "__main__":
        sys.exit(main())
except KeyboardInterrupt:
    # Ctrl-C before `main` has begun, or while it ends.
    sys.exit(130)
