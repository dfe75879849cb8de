"""Assignments stored per item: no answer depends on them, they are those of the library, and what cannot be stored is
refused with the reason."""

import json
import random
import subprocess

import numpy as np
import pytest
from converter_support import File
from library import Library, build_folder, score_lines
from random_models import (
    WIDTHS,
    random_config,
    random_id,
    random_int8,
    random_latest,
    random_module,
    random_request,
    random_sdim,
    random_sequence,
    random_vql,
)

from vqrank_convert import int8
from vqrank_convert.assignments import AssignmentOptions
from vqrank_convert.cli import main
from vqrank_convert.convert import convert
from vqrank_convert.errors import ConversionError
from vqrank_convert.int8 import FP32, Int8Options
from vqrank_train.checkpoint import save_checkpoint

VQRANK = str(build_folder() / "bin" / "vqrank")
ISAS = ["ref", "avx2", "avx512", "avxvnni", "avx512vnni", "neon", "neondot", "i8mm"]
NOT_STORED = 2**32 - 1


@pytest.fixture(autouse=True)
def everything_gains(monkeypatch):
    """Layers of any size become int8."""
    monkeypatch.setattr(int8, "INPUTS_MIN", 1)
    monkeypatch.setattr(int8, "OUTPUTS_MIN", 1)


def random_ids_config(seed: int) -> dict:
    """A model whose events have two to four ids, of tables of every mapping, and sometimes a time."""
    rng = random.Random(seed)
    words = ["a", "b", 7, -3, "ключ", "", "0", 0, 2**62]
    tables = {
        "item": {"rows": rng.choice([1, 30]), "dim": rng.choice(WIDTHS[2:]), "ids": "direct"},
        "word": {"rows": len(words) + 1, "dim": rng.choice(WIDTHS[:9]), "ids": "vocabulary", "keys": words},
        "hash": {"rows": rng.choice([2, 12]), "dim": rng.choice(WIDTHS[:9]), "ids": "hash"},
    }
    names = rng.choices(list(tables), k=rng.randint(2, 4))
    event = [{"name": f"e{i}", "kind": "id", "table": name} for i, name in enumerate(names)]
    if rng.random() < 0.5:
        event.insert(rng.randint(0, len(event)), {"name": "time", "kind": "time"})
    sequences = [
        random_sequence(rng, "long", [1, 20, 256, 257, 300], [1, 2, 3]),
        random_vql(rng, "keys", [1, 17, 64]),
        random_latest(rng, "short"),
        random_sdim(rng, "hashed"),
    ]
    rng.shuffle(sequences)
    kept = [sequence for sequence in sequences if rng.random() < 0.7]
    if not any(sequence["kind"] in ("dmqn", "vql") for sequence in kept):
        kept = sequences
    config = random_config(seed, [], [], sequences=kept)
    tables |= config["tables"]
    return config | {"tables": tables, "event": event}


def random_items(config: dict, seed: int) -> tuple[list[dict], str, list[str]]:
    """Items that the catalogue lists, the feature that determines the others, and those."""
    rng = random.Random(seed)
    features = {e["name"]: config["tables"][e["table"]] for e in config["event"] if "table" in e}
    names = rng.sample(list(features), rng.randint(2, len(features)))
    key, *determined = names
    items, seen = [], set()
    for _ in range(rng.choice([5, 60])):
        item = {name: random_id(rng, features[name]) for name in names if name == key or rng.random() < 0.9}
        if item[key] not in seen:
            seen.add(item[key])
            items += [item] * rng.randint(1, 2)  # the same twice is no contradiction
    if not all(any(name in item for item in items) for name in determined):
        items[0] |= {name: None for name in determined if name not in items[0]}
    return items, key, determined


def write_items(path, items: list[dict]):
    path.write_text("".join(json.dumps(item) + "\n\n" for item in items), encoding="utf-8")
    return path


def matched_request(config: dict, items: list[dict], seed: int, events: int) -> dict:
    """Half of the events are of listed items, and most of these as they are listed."""
    rng = random.Random(seed)
    request = random_request(config, seed, events, 5)
    for event in request["events"]:
        if rng.random() < 0.5:
            event |= {name: value for name, value in rng.choice(items).items() if rng.random() < 0.9}
    return request


def made(folder, config: dict, seed: int, name: str, options: Int8Options = FP32, assignments=None):
    checkpoint = folder / "c.safetensors"
    if not checkpoint.exists():
        save_checkpoint(checkpoint, random_module(config, seed))
    convert(checkpoint, folder / name, vqrank=VQRANK, int8=options, assignments=assignments)
    return folder / name


@pytest.mark.parametrize("seed", range(24))
def test_no_answer_depends_on_what_is_stored(tmp_path, seed):
    config = random_ids_config(seed)
    items, key, determined = random_items(config, seed)
    options = Int8Options(**random_int8(seed)) if seed % 2 else FP32
    catalogue = write_items(tmp_path / "items.jsonl", items) if seed % 4 else None
    plain = made(tmp_path, config, seed, "plain.vqr", options)
    how = AssignmentOptions(catalogue, key if catalogue else None)
    stored = made(tmp_path, config, seed, "stored.vqr", options, how)
    requests = [matched_request(config, items, seed + count, count) for count in (0, 1, 50, 400)]
    want = score_lines(plain, requests)
    assert not [line for line in want if "error" in json.loads(line)]
    run = 0
    for isa in ISAS:
        try:
            assert score_lines(stored, requests, isa) == want, isa
            run += 1
        except RuntimeError:
            continue
    assert run > 1
    file, library, events = File(stored), Library(), requests[-1]["events"]
    found, computed = (library.assignments(model, config, events) for model in (stored, plain))
    for name, z in computed.items():
        assert (found[name] == z).all()
        assert (f"sequences.{name}.assignments" in file.tensors) == (name != "hashed")
    if catalogue is None:
        assert file.header.assignments.key == -1 and not len(file.header.assignments.determined)
        return
    names = [feature["name"] for feature in config["event"]]
    assert file.header.assignments.key == names.index(key)
    assert sorted(names[i] for i in file.header.assignments.determined) == sorted(determined)


def test_what_is_stored_is_read(tmp_path):
    """With other codewords in the file, listed events have those; all others the ones they had."""
    event = [{"name": name, "kind": "id", "table": name} for name in ("item", "word")]
    config = random_ids_config(3) | {"event": event}
    config["tables"]["item"]["rows"] = 30
    config["sequences"] = [random_sequence(random.Random(1), "long", [20], [2])]
    items = [{"item": i, "word": config["tables"]["word"]["keys"][i % 9]} for i in range(20)]
    stored = made(tmp_path, config, 3, "stored.vqr", assignments=AssignmentOptions(write_items(tmp_path / "i", items)))
    other = [{"item": i, "word": config["tables"]["word"]["keys"][(i + 1) % 9]} for i in range(30)]
    before = Library().assignments(stored, config, items + other)["long"]
    file = File(stored)
    z, rows = file.values("sequences.long.assignments"), file.values("assignments.determined")
    assert z.dtype == np.uint8 and z.shape == (30, 2) and (z[:20] == before[:, :20].T).all() and not z[20:].any()
    assert rows[:20, 0].tolist() == [i % 9 + 1 for i in range(20)] and (rows[20:] == NOT_STORED).all()
    changed, at = bytearray(stored.read_bytes()), file.tensors["sequences.long.assignments"].offset
    changed[at : at + z.size] = ((z.astype(int) + 1) % 20).astype(np.uint8).tobytes()
    stored.write_bytes(changed)
    after = Library().assignments(stored, config, items + other)["long"]
    assert (after[:, :20] == (before[:, :20] + 1) % 20).all() and (after[:, 20:] == before[:, 20:]).all()


def test_combinations_without_a_catalogue(tmp_path):
    """Every row of every table, the last feature's fastest; of more than 256 codewords two bytes."""
    config = random_ids_config(3) | {
        "event": [{"name": name, "kind": "id", "table": name} for name in ("hash", "word")],
        "sequences": [random_sequence(random.Random(1), "long", [300], [1]), random_latest(random.Random(2), "short")],
    }
    stored = made(tmp_path, config, 3, "stored.vqr", assignments=AssignmentOptions())
    rows, keys = config["tables"]["hash"]["rows"], config["tables"]["word"]["keys"]
    z = File(stored).values("sequences.long.assignments")
    assert z.dtype == np.uint16 and z.shape == (rows * (len(keys) + 1), 1)
    events = [{"word": key} for key in [None, *keys]]  # of row 0 of the hash
    assert z[: len(events), 0].tolist() == Library().assignments(stored, config, events)["long"][0].tolist()
    assert "assignments.determined" not in File(stored).tensors


# ---- refusals ----


def simple(**changes) -> dict:
    config = {
        "format": 1,
        "name": "simple",
        "tables": {
            "item": {"rows": 30, "dim": 4, "ids": "direct"},
            "word": {"rows": 4, "dim": 3, "ids": "vocabulary", "keys": ["a", "b", 7]},
            "action": {"rows": 5, "dim": 2, "ids": "hash"},
        },
        "event": [
            {"name": "item", "kind": "id", "table": "item"},
            {"name": "word", "kind": "id", "table": "word"},
            {"name": "action", "kind": "id", "table": "action"},
        ],
        "candidate": [{"name": "item", "kind": "id", "table": "item"}],
        "sequences": [
            {
                "name": "long", "kind": "dmqn", "codebooks": 2, "codewords": 8, "hstu": {"layers": 0},
                "attention": {"kind": "dot", "heads": 1, "dim": 4, "share": True},
            }
        ],
        "head": {"hidden": [4], "activation": "relu", "outputs": ["ctr"]},
    }  # fmt: skip
    return config | changes


def refusal(tmp_path, capsys, config: dict, items: str | None, *arguments: str) -> str:
    """The one line that the command says; it writes nothing."""
    save_checkpoint(tmp_path / "c.safetensors", random_module(config, 1))
    given = []
    if items is not None:
        (tmp_path / "items.jsonl").write_text(items, encoding="utf-8")
        given = [str(tmp_path / "items.jsonl")]
    target = tmp_path / "m.vqr"
    command = [str(tmp_path / "c.safetensors"), "-o", str(target), "--vqrank", VQRANK]
    status = main([*command, "--assignments", *given, *arguments])
    said = capsys.readouterr().err
    assert status == 2 and said.count("\n") == 1 and not target.exists()
    return said


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("", "expected items, one JSON object a line, found none"),
        ("[1]", "line 1: expected an object of event features, found [1]"),
        ("{}", "line 1: expected an object of event features, found {}"),
        ('{"item": 1}\n{"item": 2', "line 2: expected JSON"),
        ('{"item": 1, "item": 1}', 'line 1: expected each key once, found "item" twice'),
        ('{"item": 1, "price": 2}', 'line 1: expected event features of kind id, found "price", which is none'),
        ('{"item": "a"}', 'line 1: item: expected an integer, found "a"'),
        ('{"item": 1, "word": 5.0}', "line 1: word: expected an integer or a string, found 5.0"),
        ('{"item": 1, "word": true}', "line 1: word: expected an integer or a string, found true"),
        ('{"item": 9223372036854775808}', "line 1: item: expected an integer, found 9223372036854775808"),
        ('{"item": 1}\n\n{"word": "a"}', "line 3: item: expected an id, as it determines the others, found none"),
        ('{"item": 1, "word": "a"}\n{"item": null}', "line 2: item: expected an id"),
        (
            '{"item": 1, "word": "a"}\n{"item": 2}\n{"item": 1, "word": "b"}',
            'lines 1 and 3: expected one value of word for item 1, found "a" and "b"',
        ),
        (
            '{"item": 1, "word": "a"}\n{"item": 1}',
            'lines 1 and 2: expected one value of word for item 1, found "a" and null',
        ),
    ],
)  # fmt: skip
def test_catalogues_that_are_refused(tmp_path, capsys, items, expected):
    assert expected in refusal(tmp_path, capsys, simple(), items)


def test_models_and_options_that_are_refused(tmp_path, capsys):
    def refused(config, items, *arguments):
        return refusal(tmp_path, capsys, config, items, *arguments)

    price = {"name": "price", "kind": "float"}
    config = simple(event=[*simple()["event"], price])
    assert "event feature price: expected kind id or time, as codewords are stored for ids, found float" in refused(
        config, None
    )
    last = {"name": "short", "kind": "din", "last": 5, "attention": {"kind": "dot", "heads": 1, "dim": 4}}
    assert "expected a sequence of kind dmqn or vql, found none" in refused(simple(sequences=[last]), None)
    said = refused(simple(), None, "--assignments-budget", "0.001")
    assert "expected at most 1,048 bytes, found 1,200 for 600 combinations of item (30) x word (4) x action (5)" in said
    assert "--assignments ITEMS.jsonl" in said and "--assignments-budget (MiB) to 1" in said
    assert "expected MiB above 0, found 0" in refused(simple(), None, "--assignments-budget", "0")
    assert "expected MiB above 0, found nan" in refused(simple(), None, "--assignments-budget", "nan")
    assert "-key: expected --assignments ITEMS.jsonl beside it" in refused(simple(), None, "--assignments-key", "item")
    said = refused(simple(), '{"item": 1, "word": "a"}', "--assignments-key", "action")
    assert '-key: expected a feature that the items name, found "action"' in said
    missing = tmp_path / "none.jsonl"
    said = refused(simple(), None, str(missing))
    assert f"{missing}: No such file or directory" in said
    assert "expected items, one JSON object a line, found none" in refused(simple(), "\n")
    assert "item: expected an id that the table has, found none in 1 lines" in refused(
        simple(), '{"item": 99, "word": "a"}'
    )
    assert "directory" in refused(simple(), None, ".")  # a path like any other


def test_the_command_says_what_it_stored(tmp_path, capsys):
    """With the key that is asked for, ids that the table lacks, and ids of one row of a hash."""
    save_checkpoint(tmp_path / "c.safetensors", random_module(simple(), 1))
    items = [{"action": i, "word": ["a", "b", 7][i % 3]} for i in range(20)] + [{"action": "x", "word": "unknown"}]
    write_items(tmp_path / "items.jsonl", items)
    arguments = ["--vqrank", VQRANK, "--assignments", str(tmp_path / "items.jsonl"), "--assignments-key", "action"]
    assert main([str(tmp_path / "c.safetensors"), "-o", str(tmp_path / "m.vqr"), *arguments]) == 0
    said = capsys.readouterr().out
    # 21 ids fall into four rows.
    expected = "150 combinations of item (30) x action (5), 320 bytes; word by action, of which 4 are listed"
    assert f"{expected}; left out: 17 lines whose id shares its row with one before" in said
    assert "  assignments  " in said
    inspected = subprocess.run([VQRANK, "inspect", tmp_path / "m.vqr"], capture_output=True, text=True, check=True)
    assert "codewords stored for 150 combinations of item x action, 320 bytes\n" in inspected.stdout
    assert "of 4 of the 5 ids of action, where events have its word\n" in inspected.stdout
    done = subprocess.run([VQRANK, "inspect", "--json", tmp_path / "m.vqr"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["assignments"] == {
        "combinations": 150,
        "bytes": 320,
        "features": ["item", "action"],
        "determined": ["word"],
        "key": "action",
        "keys_stored": 4,
    }
    assert json.loads(done.stdout)["verified"] == {"ok": True}
    word = [{"word": "a", "item": 1}, {"word": "nobody", "item": 2}]
    write_items(tmp_path / "items.jsonl", word)
    arguments[-1] = "word"
    assert main([str(tmp_path / "c.safetensors"), "-o", str(tmp_path / "m.vqr"), *arguments]) == 0
    assert "of which 1 are listed; left out: 1 lines with ids that the table does not have" in capsys.readouterr().out


def test_a_command_that_fails_is_named(tmp_path):
    """Nothing is written where codewords do not come."""
    save_checkpoint(tmp_path / "c.safetensors", random_module(simple(), 1))
    for answer in ("exit 1", "echo '{\"id\":0,\"clusters\":{\"other\":[[1]]}}'", "echo hello"):
        fake = tmp_path / "fake"
        fake.write_text(f"#!/bin/sh\n{answer}\n")
        fake.chmod(0o755)
        with pytest.raises(ConversionError, match="clusters: expected codewords"):
            convert(
                tmp_path / "c.safetensors", tmp_path / "m.vqr", vqrank=str(fake), with_golden=False,
                assignments=AssignmentOptions(),
            )  # fmt: skip
        assert not (tmp_path / "m.vqr").exists()


def test_bench_draws_events_of_items(tmp_path):
    """On a file with one item of few."""
    save_checkpoint(tmp_path / "c.safetensors", random_module(simple(), 1))
    write_items(tmp_path / "items.jsonl", [{"word": "a", "item": 3, "action": 1}])
    options = AssignmentOptions(tmp_path / "items.jsonl", "word")
    convert(tmp_path / "c.safetensors", tmp_path / "m.vqr", vqrank=VQRANK, assignments=options)
    sizes = ["--events", "10", "--candidates", "1", "--seconds", "0", "--json"]
    done = subprocess.run([VQRANK, "bench", tmp_path / "m.vqr", *sizes], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["results"][0]["stage"] == "append"


