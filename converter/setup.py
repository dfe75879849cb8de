"""Generates the package vqrank_schema from schema/model.fbs, then lets setuptools do the rest."""

import shutil
import subprocess
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent
SCHEMA = HERE.parent / "schema" / "model.fbs"
GENERATED = HERE / "vqrank_schema"


def generate() -> None:
    """Runs flatc over the schema; a source package without the schema beside it carries the generated code."""
    if not SCHEMA.exists():
        if GENERATED.is_dir():
            return
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
