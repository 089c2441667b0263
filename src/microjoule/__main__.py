"""`python -m microjoule`: the command line."""

import sys

from microjoule.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
