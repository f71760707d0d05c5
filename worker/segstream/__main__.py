"""``python -m segstream`` is the command `segstream`."""

import sys

from segstream.cli import main

if __name__ == "__main__":
    sys.exit(main())
