"""Cases by the thousand: what one may take, how one fails, and how all of them are told."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

PATIENCE = 20.0  # seconds that one case may take
MEMORY = 2000.0  # MB that the process may have at most


@dataclass(frozen=True)
class Failure:
    """What went wrong with one case."""

    number: int
    kind: str
    what: str


Run = Callable[[int, int, str | None], tuple[Counter[str], list[Failure]]]


def told_of(about: str, run: Run, kinds: Iterable[str], count: int) -> None:
    """Run so many cases as the command line asks for, print how they ended, and end: with 1 if
    one failed. ``run`` takes their number, a seed, and the one kind that is wanted or None."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", choices=[*kinds])
    flags = parser.parse_args()
    began = time.monotonic()
    ends, failures = run(flags.count, flags.seed, flags.only)
    for failure in failures:
        print(f"--- {failure.kind} {failure.number}\n{failure.what}")
    for end, number in sorted(ends.items()):
        print(f"{number:6}  {end}")
    seconds = time.monotonic() - began
    print(f"{sum(ends.values())} cases, {len(failures)} failures, {seconds:.0f} s")
    sys.exit(bool(failures))
