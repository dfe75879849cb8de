""".pt checkpoints: the same file as from .safetensors, and every content that is refused, without running any of it."""

import copy
import json
import os
import pickle
import sys
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from converter_support import CONFIG, config_of_every_kind, set_at, weights, write

from vqrank_convert.cli import main

torch = pytest.importorskip("torch")


def as_torch(tensors):
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in tensors.items()}


def save(path, content, **kwargs):
    torch.save(content, path, **kwargs)
    return path


def checkpoint(path, config=CONFIG, state=None):
    return save(path, {"config": config, "state_dict": as_torch(weights(config)) if state is None else state})


def converted(source, *arguments):
    target = source.with_suffix(".vqr")
    assert main([str(source), "-o", str(target), "--no-golden", "--quiet", *map(str, arguments)]) == 0
    return target.read_bytes()


def refused(capsys, source, *arguments):
    target = source.parent / "bad.vqr"
    assert main([str(source), "-o", str(target), "--no-golden", *map(str, arguments)]) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and not target.exists(), output
    return output.err.removeprefix("vqrank-convert: error: ").strip()


# ---- what is read ----


@pytest.mark.parametrize("wrap", [dict, OrderedDict])
def test_same_bytes_as_from_safetensors(tmp_path, wrap):
    config = config_of_every_kind("dice")
    tensors = weights(config)
    expected = converted(write(tmp_path / "a.safetensors", config, tensors))
    assert converted(checkpoint(tmp_path / "b.pt", config, wrap(as_torch(tensors)))) == expected
    assert converted(checkpoint(tmp_path / "c.pth", json.dumps(config), as_torch(tensors))) == expected
    assert converted(checkpoint(tmp_path / "d.bin", config, as_torch(tensors))) == expected  # by its content


def test_parameters_and_views(tmp_path):
    """A state_dict as modules give it: parameters, transposed and sliced tensors, two names for one storage."""
    tensors = weights(CONFIG)
    state = as_torch(tensors)
    expected = converted(write(tmp_path / "a.safetensors", CONFIG, tensors))
    name = "head.0.weight"
    state[name] = state[name].T.contiguous().T
    assert not state[name].is_contiguous()
    table = "tables.item.weight"
    wide = torch.zeros(100, 9)
    wide[::2, 1:] = state[table]
    state[table] = wide[::2, 1:]
    state["head.1.weight"] = torch.nn.Parameter(state["head.1.weight"])
    assert converted(checkpoint(tmp_path / "b.pt", CONFIG, state)) == expected


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_number_formats(tmp_path, dtype):
    """Each is what its own conversion to float64 gives: values of either file are the same."""
    state = {name: value.to(getattr(torch, dtype)) for name, value in as_torch(weights(CONFIG)).items()}
    if dtype == "float64":
        state["tables.item.weight"][3, 4] = 1 + 2.0**-24 + 2.0**-50  # rounds up once, down if twice
    wide = {name: value.to(torch.float64).numpy() for name, value in state.items()}
    assert converted(checkpoint(tmp_path / "a.pt", CONFIG, state)) == converted(
        write(tmp_path / "b.safetensors", CONFIG, wide)
    )


def test_values_are_checked_as_those_of_safetensors(tmp_path, capsys):
    state = as_torch(weights(CONFIG))
    state["tables.item.weight"] = state["tables.item.weight"].to(torch.bfloat16)
    state["tables.item.weight"][49, 3] = float("nan")
    message = refused(capsys, checkpoint(tmp_path / "a.pt", CONFIG, state))
    assert message == "tensor tables.item.weight: expected finite numbers, found nan at [49, 3]"
    del state["tables.item.weight"]
    message = refused(capsys, checkpoint(tmp_path / "a.pt", CONFIG, state))
    assert message == "tensor tables.item.weight: expected shape [50, 8], found none"


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
def test_large_tables_are_mapped(tmp_path):
    """A table of 320 MB is not copied: anonymous memory stays far below its size."""
    import subprocess

    config = json.loads(json.dumps(CONFIG))
    config["tables"]["item"]["rows"] = 10_000_000
    state = as_torch({name: value for name, value in weights(CONFIG).items() if name != "tables.item.weight"})
    state["tables.item.weight"] = torch.zeros(10_000_000, 8)
    source = checkpoint(tmp_path / "large.pt", config, state)
    del state
    # Anonymous memory at its highest, sampled, as VmHWM counts the mapped file's pages too.
    code = """
import sys, threading, time
import torch
def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))
before, highest, done = anonymous(), 0, False
def watch():
    global highest
    while not done:
        highest = max(highest, anonymous())
        time.sleep(0.002)
watcher = threading.Thread(target=watch)
watcher.start()
from vqrank_convert.cli import main
status = main(sys.argv[1:])
done = True
watcher.join()
print(highest - before)
sys.exit(status)
"""
    command = [sys.executable, "-c", code, str(source), "-o", str(tmp_path / "l.vqr"), "--no-golden", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 160_000, "KB"
    assert (tmp_path / "l.vqr").stat().st_size > 320_000_000


# ---- what is refused ----


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("function", "name"), [(os.system, f"{os.system.__module__}.system"), (eval, "eval"), (print, "print")]
)
@pytest.mark.parametrize("place", ["config", "state_dict", "beside", "whole"])
def test_code_is_named_and_not_run(tmp_path, capsys, function, name, place):
    trap = tmp_path / "trap"
    argument = f"touch {trap}" if function is os.system else f"open({str(trap)!r}, 'w')"
    call = Calls(function, argument)
    content = {
        "config": {"config": call, "state_dict": {}},
        "state_dict": {"config": CONFIG, "state_dict": {**as_torch(weights(CONFIG)), "x": call}},
        "beside": {"config": CONFIG, "state_dict": as_torch(weights(CONFIG)), "x": [call]},
        "whole": call,
    }[place]
    message = refused(capsys, save(tmp_path / "bad.pt", content))
    assert f"found a pickle that would call {name}, which could run any code; save {{'config'" in message
    assert not trap.exists()
    (tmp_path / "c.json").write_text(json.dumps(CONFIG))
    assert name in refused(capsys, tmp_path / "bad.pt", "--config", tmp_path / "c.json")
    assert not trap.exists()


def test_whole_modules_and_arrays_are_refused(tmp_path, capsys):
    message = refused(capsys, save(tmp_path / "m.pt", torch.nn.Linear(2, 2)))
    assert "would call torch.nn.modules.linear.Linear" in message
    message = refused(capsys, save(tmp_path / "n.pt", {"config": CONFIG, "state_dict": {"x": np.zeros(3)}}))
    assert "would call numpy." in message


def test_older_formats_are_refused_unread(tmp_path, capsys):
    legacy = save(tmp_path / "legacy.pt", {"config": CONFIG}, _use_new_zipfile_serialization=False)
    plain = tmp_path / "plain.bin"
    plain.write_bytes(pickle.dumps({"config": Calls(os.system, f"touch {tmp_path / 'trap'}")}))
    empty, text = tmp_path / "empty.pt", tmp_path / "text.pt"
    empty.write_bytes(b"")
    text.write_text("not a checkpoint")
    named = write(tmp_path / "safetensors.pt", CONFIG, weights(CONFIG))
    assert "in a file named .pt, found a safetensors file; name it .safetensors" in refused(capsys, named)
    for path in (legacy, plain, empty, text):
        message = refused(capsys, path)
        assert "expected the zip format of torch.save, found something else, perhaps a pickle" in message
    assert not (tmp_path / "trap").exists()


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_refused(tmp_path, capsys):
    path = tmp_path / "script.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), str(path))
    assert "expected a state_dict, found a TorchScript archive" in refused(capsys, path)


def test_other_archives_are_refused(tmp_path, capsys):
    path = tmp_path / "other.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    assert "expected one data.pkl in the archive, as torch.save writes it, found 0" in refused(capsys, path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("b/data.pkl", b"\x80\x02}.")
    assert "found 2" in refused(capsys, path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}." + bytes(1000))
    assert 'found "a/data.pkl" compressed' in refused(capsys, path)


CONTENTS = [
    ([1, 2], 'expected a dict {"config": ..., "state_dict": ...}, found a list'),
    (torch.zeros(3), "found a Tensor"),
    ({}, 'expected the keys "config" and "state_dict" (or a state_dict and --config), found no keys'),
    ({"state_dict": {}}, 'found "state_dict"'),
    ({"config": CONFIG}, 'found "config"'),
    ({"config": CONFIG, "state_dict": {}, "epoch": 3}, 'found "config", "state_dict", "epoch"'),
    ({"config": CONFIG, "state_dict": [1]}, "state_dict: expected a dict of tensors, found a list"),
    (
        {"config": CONFIG, "state_dict": {1: torch.zeros(3)}},
        "expected names of tensors as keys, found a key of type int",
    ),
    ({"config": 5, "state_dict": {}}, "config: expected an object, found 5"),
    ({"config": "{", "state_dict": {}}, "config: expected JSON"),
    ({"config": {"format": float("nan")}, "state_dict": {}}, "config: expected finite numbers, found NaN"),
    ({"config": {"format": torch.zeros(1)}, "state_dict": {}}, "config: expected what JSON can hold"),
    ({"config": {1: 2, "1": 3}, "state_dict": {}}, 'config: expected each key once, found "1" twice'),
    ({"config": {**CONFIG, "surprise": 1}, "state_dict": {}}, 'found "surprise"'),
]


@pytest.mark.parametrize(("content", "message"), CONTENTS, ids=[message[-30:] for _, message in CONTENTS])
def test_contents(tmp_path, capsys, content, message):
    assert message in refused(capsys, save(tmp_path / "bad.pt", content))


def test_a_config_or_a_state_dict_too_many(tmp_path, capsys):
    """What stands in a file is not passed over for what is given, nor for what stands beside it."""
    state = as_torch(weights(CONFIG))
    given = tmp_path / "c.json"
    given.write_text(json.dumps(CONFIG))
    native = checkpoint(tmp_path / "native.pt", CONFIG, state)
    message = refused(capsys, native, "--config", given)
    assert message.startswith(f"--config: expected a checkpoint that has no config of its own, found one in {native}")
    both = save(tmp_path / "both.pt", {"state_dict": state, "model_state_dict": state, "epoch": 3})
    message = refused(capsys, both, "--config", given)
    assert message.startswith(f"{both}: expected state_dict or model_state_dict, found both")
    for content in (state, {"state_dict": state, "epoch": 3}, {"model_state_dict": state, "config": 1, "epoch": 3}):
        assert converted(save(tmp_path / "foreign.pt", content), "--config", given) == converted(native)


def test_config_that_holds_itself(tmp_path, capsys):
    config = dict(CONFIG)
    config["name"] = config
    assert "config: expected what JSON can hold" in refused(capsys, checkpoint(tmp_path / "bad.pt", config, {}))


TENSORS = [
    (lambda t: t.to(torch.int32), "found int32"),
    (lambda t: t.to(torch.bool), "found bool"),
    (lambda t: t.to(torch.complex64), "found complex64"),
    (lambda t: t.to(torch.float8_e4m3fn), "found float8_e4m3fn"),
    (lambda t: t.to_sparse(), "found sparse_coo"),
    (lambda t: t.to_sparse_csr(), "found sparse_csr"),
    (lambda t: torch.nested.nested_tensor([t[0], t[1, :2]]), "found a nested tensor"),
    (lambda t: torch.nested.nested_tensor([t[0], t[1, :2]], layout=torch.jagged), "found a nested tensor"),
    (lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "found qint8"),
    (lambda t: t.to("meta"), "found no values, on the device meta"),
    (lambda t: torch.zeros(1).expand(t.shape), "found a view that repeats its float32 values"),
    (lambda t: torch.zeros(1).expand(1 << 20, 1 << 20), "found a view that repeats its float32 values"),
    (lambda t: 5, "found no tensor but a value of type int"),
    (lambda t: {"nested": t}, "found no tensor but a value of type dict"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("change", "message"), TENSORS, ids=[message for _, message in TENSORS])
def test_tensors(tmp_path, capsys, change, message):
    state = as_torch(weights(CONFIG))
    state["head.0.weight"] = change(state["head.0.weight"])
    found = refused(capsys, checkpoint(tmp_path / "bad.pt", CONFIG, state))
    assert found == f"tensor head.0.weight: expected dtype F32, F16, BF16, F64, {message}"


def test_damage(tmp_path, capsys):
    good = checkpoint(tmp_path / "good.pt").read_bytes()
    bad = tmp_path / "bad.pt"
    for length in (4, 5, 100, len(good) // 2, len(good) - 1):
        bad.write_bytes(good[:length])
        assert "expected a file of torch.save, found damage" in refused(capsys, bad)
    at = good.index(b"state_dict")
    bad.write_bytes(good[:at] + b"X" + good[at + 1 :])
    assert "Bad CRC-32" in refused(capsys, bad)


def test_without_pytorch(tmp_path, capsys, monkeypatch):
    path = checkpoint(tmp_path / "a.pt")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert "found it is not installed; pip install 'vqrank-convert[torch]', or save" in refused(capsys, path)


def test_with_an_old_pytorch(tmp_path, capsys, monkeypatch):
    path = checkpoint(tmp_path / "a.pt")
    for version in ("2.5.1", "1.13.0+cpu", "2.5"):
        monkeypatch.setattr(torch, "__version__", version)
        message = refused(capsys, path)
        assert "PyTorch: expected version 2.6 or newer, as older ones can be made to run code" in message
        assert message.endswith(f"found {version}")
    monkeypatch.setattr(torch, "__version__", "2.10.0a0+cpu")
    converted(path)


def test_nothing_else_is_printed(tmp_path):
    """PyTorch's warnings stay inside."""
    import subprocess

    path = checkpoint(tmp_path / "a.pt")
    command = [
        sys.executable,
        "-m",
        "vqrank_convert",
        str(path),
        "-o",
        str(tmp_path / "a.vqr"),
        "--no-golden",
        "--quiet",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def rebuilt(path, change=lambda pickled: pickled):
    """Packs the archive at `path` again by hand, with its pickle changed, in sums that are right."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    hand = path.with_name("hand.pt")
    with zipfile.ZipFile(hand, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, change(data) if name.endswith("/data.pkl") else data)
    return hand


def test_pickle_of_a_rebuilt_archive(tmp_path, capsys):
    """The same pickle in an archive made by hand is read; one whose tensor claims more than its storage is not."""
    good = checkpoint(tmp_path / "good.pt")
    assert converted(rebuilt(good)) == converted(good)
    rows, one_more = b"K\x32K\x08\x86", b"K\x33K\x08\x86"  # (50, 8) of the table of items

    def claim(pickled):
        assert pickled.count(rows) == 1
        return pickled.replace(rows, one_more)

    config = set_at(copy.deepcopy(CONFIG), ["tables", "item", "rows"], 51)
    short = checkpoint(tmp_path / "short.pt", json.dumps(config), as_torch(weights(CONFIG)))
    assert "expected shape [51, 8], found [50, 8]" in refused(capsys, short)
    message = refused(capsys, rebuilt(short, claim))
    assert "expected a file of torch.save, found damage: " in message and "storage" in message
