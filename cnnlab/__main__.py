"""`python -m cnnlab` does what the console command `cnnlab` does."""

import sys

from cnnlab.cli import main

if __name__ == "__main__":
    sys.exit(main())
