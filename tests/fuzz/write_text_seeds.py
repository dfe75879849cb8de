#!/usr/bin/env python3
# ruff: noqa: E501 (lines of requests are easier to read whole)
"""Writes the hand-written seeds of the text targets: write_text_seeds.py CORPUS.

Every feature kind, every refusal of a request, every form of a names file. Fuzzing starts from them; what it found
beside them lies in the same folders (docs/fuzzing.md).
"""

import sys
from pathlib import Path

# The first byte picks one of the schemas of fuzz_request.c, modulo their number, 5.
ALL, FEW, LISTS, WIDE, NONE = "defgh"

REQUESTS = {
    "everything": ALL + '{"id": "r1", "time": 1700000100, "user": {"item": "a", "tags": [1, "x"]}, '
    '"context": {"price": 2.5, "image": [1, 2.5, -3e2]}, '
    '"events": [{"item": 5, "price": 1e-3, "tags": [], "image": [0, -0.0, 1], "thumb": [7], "action": "M", '
    '"genres": [-9223372036854775808, "\\u00e9", ""], "time": 1700000000}, {}, {"item": null, "tags": null}], '
    '"candidates": [{"item": 9, "genres": [1]}, {"thumb": [0.5]}]}',
    "several": FEW + '{"id": 1, "candidates": []}\n\n{"id": 2, "candidates": [{"item": 1}, {"item": "b"}]}\nnonsense\n'
    '{"id": 3, "context": {"item": 4}, "events": [{"price": 3}], "candidates": [{}]}\r\n',
    "lists": LISTS + '{"id": "l", "user": {"a": [1], "b": [2, 3]}, "events": [{"a": []}, {"b": ["s", "t", "u"]}, '
    '{"a": [1, 2, 3, 4, 5, 6, 7, 8, 9]}], "candidates": [{"a": null}, {"b": [0]}]}',
    "lists-wrong": LISTS + '{"id": 1, "candidates": [{"a": 5}]}\n{"id": 2, "candidates": [{"a": [1.5]}]}\n'
    '{"id": 3, "candidates": [{"a": [null]}]}\n{"id": 4, "candidates": [{"a": [[1]]}]}\n'
    '{"id": 5, "candidates": [{"a": [9223372036854775808]}]}',
    "wide": WIDE + '{"id": "w", "candidates": [{"v": [' + ", ".join(str(i / 4) for i in range(70)) + "]}]}",
    "wide-wrong": WIDE + '{"id": 1, "candidates": [{"v": [1, 2]}]}\n{"id": 2, "candidates": [{"v": "x"}]}\n'
    '{"id": 3, "context": {"v": [' + "0, " * 69 + 'true]}, "candidates": []}\n'
    '{"id": 4, "context": {"v": [' + "0, " * 69 + '1e999]}, "candidates": []}',
    "none": NONE + '{"id": "n", "user": {}, "context": {}, "events": [{}], "candidates": [{}, {}]}\n'
    '{"id": "n", "candidates": [{"item": 1}]}',
    "unknown": ALL + '{"id": 1, "candidates": [], "canditates": []}\n{"id": 1, "candidates": [{"itme": 1}]}',
    "duplicate": ALL + '{"id": 1, "id": 2, "candidates": []}\n{"id": 1, "candidates": [{"item": 1, "item": 1}]}',
    "missing": ALL + '{"id": 1}\n{"candidates": []}\n{}\n[]\n5\n"x"\nnull\n',
    "types": ALL + '{"id": 1.5, "candidates": []}\n{"id": 1, "candidates": {}}\n{"id": 1, "time": 1.5, "candidates": []}\n'
    '{"id": 1, "candidates": [{"item": 5.0}, {"price": "x"}]}\n{"id": 1, "events": [{"time": true}], "candidates": []}',
    "range": ALL + '{"id": 1, "candidates": [{"item": 9223372036854775808}]}\n{"id": 1, "candidates": [{"price": 1e999}]}\n'
    '{"id": 99999999999999999999, "candidates": []}\n{"id": 1, "candidates": [1e999,1e999,1e999,1e999,1e999,1e999,'
    "1e999,1e999,1e999]}",
    "text": ALL + '{"id": "\\u0000\\ud83d\\ude00\\"", "candidates": [{"item": "a\\u0000b"}, {"item": "\\uffff"}]}\n'
    '{"id": "\\ud800", "candidates": []}',
}

NAMES = {
    "plain": "id,name\n1,one\n2,two\n,\n-7,minus seven\nshoe,a shoe\n",
    "quoted": 'id,name,more\r\n"a ""b""","c, d",e\r\n"new\nline","",x\r\n\r\n3,"three"',
    "wrong": "name,id\n1,2\n",
    "open": 'id,name\n1,"never closes',
    "one-field": "id,name\n1\n",
    "twice": "id,name\n1,a\n1,b\n",
}

RELEVANCE = {
    "plain": '{"id": "r1", "relevant": [1, 2, "x"]}\n\n{"id": 2, "relevant": []}\n{"relevant": ["\\u00e9"], "id": "2"}\n',
    "wrong": '{"id": 1, "relevant": [1.5]}\n',
    "twice": '{"id": 1, "relevant": [1]}\n{"id": 1, "relevant": [2]}\n',
    "range": '{"id": 1, "relevant": [99999999999999999999]}\n',
    "json": '{"id": 1, "relevant": [}\n',
}


def main() -> None:
    """Writes each seed to CORPUS/TARGET/seed-NAME."""
    corpus = Path(sys.argv[1])
    for target, seeds in (("request", REQUESTS), ("names", NAMES), ("relevance", RELEVANCE)):
        folder = corpus / target
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in seeds.items():
            (folder / f"seed-{name}").write_bytes(text.encode())


if __name__ == "__main__":
    main()
