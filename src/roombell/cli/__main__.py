"""``python -m roombell.cli`` is ``roombell``."""

import sys

from roombell.cli import main

sys.exit(main())
