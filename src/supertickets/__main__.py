"""`python -m supertickets` is the command `supertickets`."""

import sys

from supertickets.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
