"""Print one line about all JUnit reports in a directory; fails if there are none, or failures."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def main(directory: str) -> int:
    """Print the line; the exit status."""
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    seconds = 0.0
    for path in sorted(Path(directory).glob("*.xml")):
        for suite in ElementTree.parse(path).getroot().iter("testsuite"):
            for name in counts:
                counts[name] += int(suite.get(name, 0))
            seconds += float(suite.get("time", 0))
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - failed - counts["skipped"]
    parts = [f"{failed} failed"] if failed else []
    parts += [f"{passed} passed", f"{counts['skipped']} skipped"]
    print(f"{', '.join(parts)} in {seconds:.2f}s")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
