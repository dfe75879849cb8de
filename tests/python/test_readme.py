"""What README.md shows is what there is: its program compiles against an installed library and runs; its links lead
somewhere."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from library import build_folder, score_lines
from random_models import random_module
from test_models_float64 import convert

from vqrank_train.checkpoint import save_checkpoint

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAM = ROOT / "examples" / "library" / "rank.c"


def test_the_program_is_the_example():
    (shown,) = re.findall(r"```c\n(.*?)```", README, re.DOTALL)
    assert shown == PROGRAM.read_text(encoding="utf-8")


PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


CONFIG = {
    "format": 1, "name": "readme", "tables": {"item": {"rows": 20, "dim": 8, "ids": "direct"}},
    "event": [{"name": "item", "kind": "id", "table": "item"}, {"name": "time", "kind": "time"}],
    "candidate": [{"name": "item", "kind": "id", "table": "item"}],
    "sequences": [
        {
            "name": "long", "kind": "dmqn", "codebooks": 2, "codewords": 6,
            "hstu": {"layers": 1, "heads": 2, "qk_dim": 4, "v_dim": 4},
            "attention": {"kind": "dot", "heads": 2, "dim": 4},
        }
    ],
    "head": {"hidden": [8], "activation": "relu", "outputs": ["ctr"]},
}  # fmt: skip


def test_the_program_compiles_and_runs(tmp_path):
    prefix = tmp_path / "prefix"
    subprocess.run(["cmake", "--install", build_folder(), "--prefix", prefix], check=True, capture_output=True)
    (pc,) = prefix.rglob("vqrank.pc")
    environment = os.environ | {"PKG_CONFIG_PATH": str(pc.parent), "LD_LIBRARY_PATH": str(pc.parent.parent)}
    command = f"cc -std=c11 -Wall -Wextra -Werror {PROGRAM} $(pkg-config --cflags --libs vqrank) -o {tmp_path}/rank"
    subprocess.run(["sh", "-c", command], check=True, env=environment)
    save_checkpoint(tmp_path / "c.safetensors", random_module(CONFIG, 1))
    convert(tmp_path / "c.safetensors", tmp_path / "m.vqr")
    done = subprocess.run(
        [tmp_path / "rank", tmp_path / "m.vqr"], env=environment, capture_output=True, text=True, check=True
    )
    request = {"id": 1, "events": [{"item": i} for i in (7, 8, 7)], "candidates": [{"item": i} for i in (7, 8, 9)]}
    (line,) = score_lines(tmp_path / "m.vqr", [request])
    scores = json.loads(line)["outputs"]["ctr"]
    assert done.stdout.splitlines() == [f"{i} {score:.9g}" for i, score in zip((7, 8, 9), scores, strict=True)]
