"""`python -m vqrank_convert`."""

import sys

from vqrank_convert.cli import main

sys.exit(main())
