"""`python -m langplug`: the command line."""

import sys

from langplug.cli import main

if __name__ == "__main__":
    sys.exit(main())
