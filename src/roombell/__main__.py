"""``python -m roombell`` is ``roombell``."""

import sys

from roombell.cli import main

if __name__ == "__main__":
    sys.exit(main())
