#!/usr/bin/env python3
"""Median and quartiles of encode and score times, from the headings that `vqrank rank` prints.

    vqrank rank MODEL REQUESTS.jsonl | latency.py

Needs Python's standard library only.
"""

import re
import statistics
import sys

HEADING = re.compile(r"^request .*: (\d+) events?, (\d+) candidates?, encode ([\d.]+) ms, score ([\d.]+) ms")


def main():
    found = [tuple(map(float, match.groups())) for line in sys.stdin if (match := HEADING.match(line))]
    if not found:
        raise SystemExit("latency.py: expected headings of `vqrank rank`, found none")
    found *= 1 if len(found) > 1 else 2  # one request has no quartiles but its own values
    events, candidates, encode, score = zip(*found, strict=True)
    print(f"  {'':10} {'median':>12} {'quartiles':>20}")
    for name, values, unit in (
        ("events", events, ""),
        ("candidates", candidates, ""),
        ("encode", encode, " ms"),
        ("score", score, " ms"),
    ):
        low, middle, high = statistics.quantiles(values, n=4)
        digits = 3 if unit else 0
        print(f"  {name:10} {middle:>9.{digits}f}{unit:3} {f'{low:.{digits}f} to {high:.{digits}f}':>20}")


if __name__ == "__main__":
    main()
