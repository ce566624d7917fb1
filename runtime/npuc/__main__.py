"""``python -m npuc``: the command line, the same as the installed script ``npuc``."""

import sys

from npuc.runtime.cli import main

if __name__ == "__main__":
    sys.exit(main())
