"""Generates the package vqrank_schema from schema/model.fbs, then lets setuptools do the rest."""

import shutil
import subprocess
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent
SCHEMA = HERE.parent / "schema" / "model.fbs"
GENERATED = HERE / "vqrank_schema"


def generate() -> None:
    """Runs flatc over the schema unless what it generated is newer; source packages carry it without the schema."""
    made = GENERATED / "Model.py"
    if made.exists() and (not SCHEMA.exists() or made.stat().st_mtime > SCHEMA.stat().st_mtime):
        return
    if not SCHEMA.exists():
        raise SystemExit(f"vqrank-convert: {SCHEMA} is missing; install from a clone of the vqrank repository")
    flatc = shutil.which("flatc")
    if flatc is None:
        raise SystemExit(
            "vqrank-convert: flatc, the FlatBuffers compiler, is not installed; "
            "on Debian and Ubuntu: apt-get install flatbuffers-compiler"
        )
    shutil.rmtree(GENERATED, ignore_errors=True)
    subprocess.run([flatc, "--python", "--gen-object-api", "-o", str(HERE), str(SCHEMA)], check=True)


generate()
setup()
