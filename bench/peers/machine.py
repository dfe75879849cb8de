"""The machine that figures come from, in words."""

import os
import platform
from pathlib import Path
from typing import Any


def describe(core: int) -> dict[str, Any]:
    fields: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", "")).split()
    return {
        "cpu": fields.get("model name", platform.machine()),
        "cores": os.cpu_count(),
        "core": core,
        "instructions": [
            flag
            for flag in flags
            if flag in ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")
        ],
        "virtual": "hypervisor" in flags,
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }
