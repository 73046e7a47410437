"""Runs the entry point: `python -m product_match.container`."""

import sys

from product_match.container.entry import main

sys.exit(main())
