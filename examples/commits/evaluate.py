#!/usr/bin/env python3
"""How often is a file that was really touched next among the ten best scored?

    evaluate.py RESPONSES.jsonl FOLDER

RESPONSES.jsonl is what `vqrank score` answered to FOLDER/requests.jsonl; FOLDER/truth.jsonl holds what was touched.
Compared with candidates in random order (expected value) and by popularity, the order in which the requests list them.
Needs Python's standard library only.
"""

import argparse
import json
import math
import sys
from pathlib import Path


def chance(candidates, relevant, top):
    """Probability that at least one of `relevant` among `candidates` in random order is in the first `top`."""
    return 1 - math.comb(candidates - relevant, top) / math.comb(candidates, top) if candidates > top else 1.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("responses", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--output", help="which output ranks; default: the first")
    args = parser.parse_args()

    moments = candidates_seen = events_seen = 0
    hits, popular_hits, expected, rank_shares, refused = 0, 0, 0.0, 0.0, 0
    with (
        open(args.responses) as responses,
        open(args.folder / "requests.jsonl") as requests,
        open(args.folder / "truth.jsonl") as truths,
    ):
        for response_line, request_line, truth_line in zip(responses, requests, truths, strict=True):
            response, request, truth = map(json.loads, (response_line, request_line, truth_line))
            if not response.get("id") == request["id"] == truth["id"]:
                sys.exit(f"expected the answer to {request['id']}, found {response.get('id')}")
            if "error" in response:
                refused += 1
                continue
            items = [candidate["item"] for candidate in request["candidates"]]
            outputs = response["outputs"]
            scores = outputs[args.output] if args.output else next(iter(outputs.values()))
            relevant = set(truth["relevant"])
            order = sorted(range(len(items)), key=lambda i: -scores[i])
            hits += any(items[i] in relevant for i in order[: args.top])
            popular_hits += any(item in relevant for item in items[: args.top])
            expected += chance(len(items), len(relevant), args.top)
            best = min(place for place, i in enumerate(order) if items[i] in relevant)
            rank_shares += best / len(items)
            moments += 1
            candidates_seen += len(items)
            events_seen += len(request["events"])
    if not moments:
        sys.exit("no answered requests")
    print(
        f"{moments} moments, on average {events_seen / moments:.0f} events of history, "
        f"{candidates_seen / moments:.0f} candidates; {refused} refused"
    )
    print(f"{'a touched file in the top ' + str(args.top):<32}{'moments':>9}{'share':>8}")
    for name, value in (("vqrank", hits), ("most touched in the repository", popular_hits), ("chance", expected)):
        print(f"{name:<32}{value:>9.0f}{value / moments:>8.1%}")
    print(f"the first touched file stands, on average, after {rank_shares / moments:.1%} of the candidates")


if __name__ == "__main__":
    main()
