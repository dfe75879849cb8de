"""Who takes part: names, where their code is, what keeps them to one thread and to an instruction set."""

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peer import Peer
from workload import Workload

# One thread everywhere, and none that spins while another process has the core.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}  # fmt: skip
# What the runtimes document to leave out AVX-512.
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "DNNL_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}


@dataclass(frozen=True)
class Contestant:
    """peer: "module.Class". environment: the virtual environment that runs it. int8: files of vqrank's preset server.
    avx2: held to AVX2. slow: left out by --quick."""

    name: str
    peer: str
    arguments: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    environment: str = "venv"
    avx2: bool = False
    slow: bool = False

    def make(self, workload: Workload, build: Path, folder: Path) -> Peer:
        module, name = self.peer.split(".")
        arguments = dict(self.arguments)
        if module == "vqrank_peer":
            arguments["library"] = build / "vqrank" / "lib" / "libvqrank.so"
            arguments["model"] = build / "bench" / f"{workload.name}{arguments.pop('suffix')}.vqr"
        peer: Peer = getattr(importlib.import_module(module), name)(workload, folder, **arguments)
        return peer


FP32, SERVER = {"suffix": ""}, {"suffix": "-server"}
STORED, STORED_SERVER = {"suffix": "-stored"}, {"suffix": "-stored-server"}  # codewords stored per item
CONTESTANTS = [
    Contestant("vqrank", "vqrank_peer.Vqrank", FP32),
    Contestant("vqrank int8", "vqrank_peer.Vqrank", SERVER),
    Contestant("vqrank stored", "vqrank_peer.VqrankStored", STORED),
    Contestant("vqrank stored int8", "vqrank_peer.VqrankStored", STORED_SERVER),
    Contestant("vqrank, AVX2", "vqrank_peer.Vqrank", FP32 | {"isa": "avx2"}, avx2=True),
    Contestant("vqrank int8, AVX2", "vqrank_peer.Vqrank", SERVER | {"isa": "avx2"}, avx2=True),
    Contestant("ONNX Runtime", "onnxruntime_peer.OnnxRuntime"),
    Contestant("ONNX Runtime int8", "onnxruntime_peer.OnnxRuntimeInt8"),
    Contestant("ONNX Runtime plain", "onnxruntime_peer.OnnxRuntimePlain"),
    Contestant("PyTorch", "torch_peer.Torch"),
    Contestant("PyTorch, AVX2", "torch_peer.Torch", variables=AVX2, avx2=True),
    Contestant("torch.compile", "torch_peer.TorchCompile", slow=True),
    Contestant("PyTorch plain", "torch_peer.TorchPlain"),
    Contestant("torch.compile plain", "torch_peer.TorchPlainCompile", slow=True),
    Contestant("OpenVINO", "openvino_peer.OpenVino"),
    Contestant("OpenVINO, AVX2", "openvino_peer.OpenVino", variables=AVX2, avx2=True),
    Contestant("LiteRT", "litert_peer.LiteRt"),
    Contestant("MNN", "mnn_peer.Mnn"),
    Contestant("ExecuTorch", "executorch_peer.ExecuTorch", environment="venv-executorch"),
    Contestant("ncnn", "ncnn_peer.Ncnn"),
]
BY_NAME = {contestant.name: contestant for contestant in CONTESTANTS}
