import sys

from overshootd.cli import main

sys.exit(main())
