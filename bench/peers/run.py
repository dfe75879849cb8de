"""Compares vqrank with general runtimes on the same models, weights and inputs, one thread each.

Sets up what it needs under build/peers (virtual environments, the shared library, exported models), compares outputs,
and only then measures: every contestant in a process of its own, on one core, one at a time, in turns.
"""

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build" / "peers"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench/peers/run.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
        "  python3 bench/peers/run.py --docs                    all, into docs/peers.md, .json and .svg\n"
        "  python3 bench/peers/run.py --quick                   two minutes\n"
        '  python3 bench/peers/run.py --peers "ONNX Runtime" --rows "encode 1,000;score 100"',
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and without torch.compile: two minutes")
    parser.add_argument("--peers", metavar="NAME,...", help="only these, beside vqrank's own (--list names all)")
    parser.add_argument("--rows", metavar="ROW;...", help='only these rows, such as "encode 1,000;score 100"')
    parser.add_argument("--workloads", default="paper,mobile", help="(%(default)s)")
    parser.add_argument("--rounds", type=int, help="turns of everybody (7; --quick: 3)")
    parser.add_argument("--core", type=int, help="where to stay (the last that this process may use)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="where to write the results (build/peers/peers.json)")
    parser.add_argument("--docs", action="store_true", help="write docs/peers.md, docs/peers.json and docs/peers.svg")
    parser.add_argument("--again", metavar="FILE", type=Path, help="measure nothing: report what --json wrote before")
    parser.add_argument("--list", action="store_true", help="name the contestants and rows, and end")
    return parser.parse_args()


def main() -> int:
    options = parse()
    if Path(sys.prefix) != BUILD / "venv":  # the rest needs packages: set up with Python's own, go on in there
        import environment

        environment.prepare(ROOT, BUILD)
        python = BUILD / "venv" / "bin" / "python"
        os.execv(python, [str(python), str(HERE / "run.py"), *sys.argv[1:]])
    import session

    return session.run(options, ROOT, BUILD)


if __name__ == "__main__":
    sys.exit(main())
