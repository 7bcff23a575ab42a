"""Print speed and size beside the floor. Exits with 1 if what must hold does not.

Sizes and wakeups must hold; ratios are printed with what is aimed at, and fail only with --strict.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable

from benchmarks import size, speed
from benchmarks.measuring import Line, compiled_floor


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of each ratio")
    parser.add_argument("--strict", action="store_true", help="fail if a ratio is missed, too")
    options = parser.parse_args()
    failed = False
    for lines in (size.idle(), size.sampling(), size.memory_at_work()):
        failed |= not show(lines)
    missed = not show(speed.command_line(options.rounds))
    with compiled_floor() as program:
        if program is None:
            print("no C compiler: there is no floor to compare with", file=sys.stderr)
        else:
            missed |= not show(speed.starts(options.rounds, program))
            missed |= not show(speed.output(options.rounds, program))
    return 1 if failed or (options.strict and missed) else 0


def show(lines: Iterable[Line]) -> bool:
    """Print lines; whether all of them hold."""
    holds = True
    for line in lines:
        mark = "" if line.limit is None else ("ok" if line.holds else "MISSED")
        print(f"{line.name:<72} {line.value:>28}  {line.limit or '':<10} {mark}", flush=True)
        holds &= line.holds
    return holds


if __name__ == "__main__":
    sys.exit(main())
