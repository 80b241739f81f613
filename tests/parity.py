"""Numbers of the authors' implementations against ours: ``python tests/parity.py FILE...``

One line a quantity; exit 1 if any is beyond tolerance. What is compared is in
``engine/benchmark/parity_*.py``, a file a family; the fixtures' format in
``tests/data/parity/README.md``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from engine.benchmark.fixture import TOLERANCE, reproducible_weights  # noqa: E402
from engine.benchmark.parity import compare, read  # noqa: E402

__all__ = ["TOLERANCE", "compare", "main", "read", "reproducible_weights"]


def main(paths: list[str]) -> int:
    if not paths:
        print("usage: python tests/parity.py FILE...", file=sys.stderr)
        return 2
    failed = 0
    for path in paths:
        print(path)
        with torch.inference_mode():
            fixture = read(Path(path))
            for name, difference, tolerance in compare(fixture):
                wrong = not difference <= tolerance
                failed += wrong
                unit = "ids differ" if tolerance == 0 else "greatest difference"
                print(f"  {'FAIL' if wrong else 'ok  '} {name:26} {difference:.3g} {unit}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
