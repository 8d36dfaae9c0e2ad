"""The trace hashes of the first seeds, a line each: python -m tests.simulation.hashes HOW_MANY."""

import sys

from kew.simulation.plan import draw_plan
from kew.simulation.simulation import simulate

if __name__ == "__main__":
    for number in range(int(sys.argv[1])):
        sys.stdout.write(f"{simulate(draw_plan(number)).trace_hash}\n")
