"""`python -m overshootd.simulator`: the simulator alone."""

from __future__ import annotations

import argparse
import sys

from overshootd.simulator.cli import add_arguments, main

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="overshootd simulate")
    add_arguments(parser)
    sys.exit(main(parser.parse_args()))
