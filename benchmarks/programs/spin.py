"""Keeps one processor from going to sleep, and gives way to everything else: ends when its standard input does.

python spin.py <number of the processor>
"""

import os
import select
import sys

TURNS = 10_000  # between two looks at standard input


def main(processor: int) -> None:
    os.sched_setaffinity(0, {processor})
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while not select.select([sys.stdin], [], [], 0)[0]:
        for _ in range(TURNS):
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
