"""Sets up what the comparison needs, with nothing but Python's own library: environments, vqrank, models.

A peer whose packages do not install is left out; why stands in build/peers/not-installed.json, and in the report.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# environment -> packages without which nothing runs, then those of single peers
ENVIRONMENTS = {
    "venv": (
        ["numpy", "safetensors", "tqdm", "matplotlib", "torch", "onnx", "onnxscript"],
        ["onnxruntime", "openvino", "ai-edge-litert", "MNN", "ncnn"],
    ),
    "venv-executorch": (["numpy", "safetensors", "torch"], ["executorch"]),
    "venv-tensorflow": (["numpy", "safetensors"], ["tensorflow"]),
}


def pinned() -> dict[str, str]:
    """requirements.txt: package -> line."""
    lines = [line.split("#")[0].strip() for line in (HERE / "requirements.txt").read_text().splitlines()]
    return {line.split("==")[0]: line for line in lines if line}


def run(command: list[str | Path], log: Path, env: dict[str, str] | None = None, cwd: Path | None = None) -> bool:
    """Whether a command succeeded; what it says goes into the log."""
    words = [str(part) for part in command]
    with log.open("w") as file:
        done = subprocess.run(words, stdout=file, stderr=subprocess.STDOUT, check=False, env=env, cwd=cwd)
    return done.returncode == 0


def last_lines(log: Path) -> str:
    """What pip says is wrong."""
    lines = [line for line in log.read_text().splitlines() if line.strip() and not line.startswith("WARNING")]
    return " ".join(lines[-2:])[-400:]


def make_environments(build: Path) -> None:
    """Made once; again when requirements.txt changes."""
    digest = hashlib.sha256((HERE / "requirements.txt").read_bytes()).hexdigest()
    missing: dict[str, str] = {}
    versions = pinned()
    for name, (needed, single) in ENVIRONMENTS.items():
        done = build / name / "installed.json"
        if done.exists() and (stored := json.loads(done.read_text()))["digest"] == digest:
            missing |= stored["missing"]
            continue
        print(f"setting up {build / name}", file=sys.stderr)
        log = build / "log" / f"{name}.log"
        own: dict[str, str] = {}
        pip = [build / name / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check"]
        made = run([sys.executable, "-m", "venv", build / name], log)
        if not made or not run([*pip, *(versions[p] for p in needed)], log):
            if name == "venv":
                sys.exit(f"{build / name}: cannot install {', '.join(needed)}: see {log}")
            own = dict.fromkeys(single, f"pip install {' '.join(needed)}: {last_lines(log)}")
        for package in single if not own else []:
            held = [versions[p] for p in ("torch",) if p in needed]
            if not run([*pip, versions[package], *held], log):
                own[package] = f"pip install {versions[package]}: {last_lines(log)}"
        done.write_text(json.dumps({"digest": digest, "missing": own}))
        missing |= own
    (build / "not-installed.json").write_text(json.dumps(missing, indent=1))


def make_vqrank(root: Path, build: Path) -> None:
    """libvqrank.so and the command, as a release."""
    log = build / "log" / "vqrank.log"
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    configure = ["cmake", "-S", root, "-B", build / "vqrank", *generator, "-DCMAKE_BUILD_TYPE=Release",
                 "-DBUILD_SHARED_LIBS=ON", "-DVQRANK_TESTS=OFF"]  # fmt: skip
    if not run(configure, log) or not run(["cmake", "--build", build / "vqrank", "-j2"], log):
        sys.exit(f"vqrank does not build: see {log}")


def make_models(root: Path, build: Path) -> None:
    """bench/workloads with random weights, converted in fp32 and by --preset server, each with stored codewords too."""
    python = root / "build" / "venv" / "bin" / "python"
    if not python.exists():
        sys.exit(f"{python}: not found; ./demo.sh makes the environment that holds vqrank-convert")
    log, bench = build / "log" / "models.log", build / "bench"
    path = f"{build / 'vqrank' / 'bin'}:{os.environ['PATH']}"  # the converter asks the command for golden requests
    variables = {"PATH": path, "PYTHONPATH": str(root / "converter")}
    if not run([python, root / "bench" / "make_workloads.py", bench], log, env=variables, cwd=root):
        sys.exit(f"bench/make_workloads.py fails: see {log}")
    for name in ("paper", "mobile"):
        for suffix, more in (("", []), ("-stored", ["--assignments", bench / f"{name}-items.jsonl"])):
            target = ["-o", bench / f"{name}{suffix}-server.vqr", "--preset", "server", "--quiet", *more]
            convert = [python, "-m", "vqrank_convert", bench / f"{name}.safetensors", *target]
            if not run(convert, log, env=variables, cwd=root):
                sys.exit(f"vqrank-convert --preset server fails: see {log}")


def prepare(root: Path, build: Path) -> None:
    (build / "log").mkdir(parents=True, exist_ok=True)
    make_environments(build)
    make_vqrank(root, build)
    make_models(root, build)
