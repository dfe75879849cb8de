"""The commits data set on a small made-up history: split, leaks, exact prefixes, resuming, the example's scripts."""

import json
import lzma
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from converter_support import set_at
from training_data import ITEMS, write_commits

from vqrank_train.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from vqrank_train.cli import main as command
from vqrank_train.commits.baselines import match_counts, popularity
from vqrank_train.commits.data import ADDED, COLUMNS, MIN_HISTORY, NEGATIVES, POOL, RARE, Commits
from vqrank_train.commits.example import write_example
from vqrank_train.commits.report import measured, table
from vqrank_train.config import Config, ConfigError
from vqrank_train.errors import DataError, RunError
from vqrank_train.model import Ranker
from vqrank_train.predict import predict
from vqrank_train.trainer.fit import Batches, Options, Trainer
from vqrank_train.trainer.inputs import Inputs, fill_template
from vqrank_train.trainer.scoring import blocks, logits, score

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_commits(folder)
    return folder


@pytest.fixture(scope="module")
def commits(data):
    return Commits(data)


def spec(name="dmqn", steps=4):
    found = json.loads((ROOT / "training" / "configs" / f"{name}.json").read_text())
    found["model"]["sequences"][0]["codewords"] = 16
    found["training"].update(steps=steps, batch=2, validate=2, validation_moments=20)
    return found


def test_split_keeps_commits_whole_and_in_time(commits):
    training, validation, test = commits.parts()
    assert training.time.max() < validation.time.min() <= validation.time.max() < commits.split_time <= test.time.min()
    assert min(m.history.min() for m in (training, validation, test)) >= MIN_HISTORY
    assert len(commits.known("item", commits.split_time)) <= ITEMS
    late = commits.event["item"][commits.event["time"] < commits.split_time]
    for item in commits.known("item", commits.split_time):
        assert (late == item).sum() >= RARE


def test_history_ends_before_the_commit(commits):
    _, _, test = commits.parts()
    for m in range(len(test)):
        start = commits.start[test.user[m]]
        own = commits.event["time"][start : start + test.history[m] + 1]
        assert own[-1] == test.time[m]
        assert (own[:-1] < test.time[m]).all()
        touched = commits.by_time["time"] == test.time[m]
        additions = commits.by_time["item"][touched & (commits.by_time["action"] == ADDED)]
        assert not np.isin(test.positives(m), additions).any()


def test_sample(commits):
    _, _, test = commits.parts()
    sample = commits.sample(test, np.random.default_rng(0), cap=2)
    again = commits.sample(test, np.random.default_rng(0), cap=2)
    assert (sample.item == again.item).all()
    for m in range(len(test)):
        own = sample.moment == m
        positives = sample.item[own & (sample.label == 1)]
        negatives = sample.item[own & (sample.label == 0)]
        assert len(positives) == min(2, len(test.positives(m)))
        assert np.isin(positives, test.positives(m)).all()
        assert not np.isin(negatives, test.positives(m)).any()
        assert (commits.candidate["repository"][negatives] == test.repository[m]).all()


def test_baselines_count_what_stands_in_the_history(commits):
    _, _, test = commits.parts()
    sample = commits.sample(test, np.random.default_rng(0))
    recent, whole = match_counts(commits, test, sample)
    popular = popularity(commits, test, sample)
    for i in range(0, len(sample.item), 7):
        m = sample.moment[i]
        start = commits.start[test.user[m]]
        history = commits.event["item"][start : start + test.history[m]]
        assert whole[i, 0] == (history == sample.item[i]).sum()
        assert recent[i, 0] == (history[-50:] == sample.item[i]).sum()
        before = (commits.by_time["repository"] == test.repository[m]) & (commits.by_time["time"] < test.time[m])
        assert popular[i] == (commits.by_time["item"][before][-5000:] == sample.item[i]).sum()


def request_of(commits, config, test, m, items):
    """The same moment as a JSON request."""
    from vqrank_train.commits.data import ACTIONS
    from vqrank_train.trainer.inputs import phase

    def make(features, values, n):
        return {
            f["name"]: float(phase(f["name"], np.array([n]))[0]) if f["kind"] == "float" else values[f["name"]]
            for f in features
        }

    start, history = int(commits.start[test.user[m]]), int(test.history[m])
    events = []
    for n in range(history):
        values = {name: int(column[start + n]) for name, column in commits.event.items()}
        events.append(make(config["event"], {**values, "action": ACTIONS[values["action"]]}, n))
    files = [{name: int(column[item]) for name, column in commits.candidate.items()} for item in items]
    return {
        "id": "r",
        "context": {"repository": int(test.repository[m])},
        "events": events,
        "candidates": [make(config["candidate"], values, history) for values in files],
    }


@pytest.mark.parametrize("name", ["dmqn", "dmqn-simple"])
def test_batched_scores_are_those_of_single_requests(commits, tmp_path, name):
    trainer = Trainer(commits, spec(name), tmp_path, 0, torch.device("cpu"))
    trainer.run()
    module = load_checkpoint(tmp_path / "model.safetensors").double()
    _, _, test = commits.parts()
    sample = commits.sample(test, np.random.default_rng(0))
    scores = score(module, Inputs(commits, module.config), test, sample, size=5)
    for m in (0, 1, len(test) - 1):
        own = sample.moment == m
        found = predict(module, request_of(commits, module.config.source, test, m, sample.item[own]))
        assert found.outputs["touch"] == pytest.approx(1 / (1 + np.exp(-scores[own].astype(float))), rel=1e-4)


def test_a_resumed_run_ends_as_an_unbroken_one(commits, tmp_path):
    whole = Trainer(commits, spec(), tmp_path / "whole", 5, torch.device("cpu"))
    whole.out.mkdir()
    whole.run()
    first = Trainer(commits, spec(), tmp_path / "broken", 5, torch.device("cpu"))
    first.out.mkdir()

    class Stopped(Exception):
        pass

    update = first.update

    def stop_after_three():
        if first.step == 3:
            raise Stopped
        return update()

    first.update = stop_after_three
    with pytest.raises(Stopped):
        first.run()
    second = Trainer(commits, spec(), tmp_path / "broken", 5, torch.device("cpu"))
    second.resume()
    assert second.step == 2
    second.run()
    for (name, a), b in zip(whole.module.state_dict().items(), second.module.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_example_scripts(commits, data, tmp_path, monkeypatch):
    monkeypatch.setattr("vqrank_train.commits.example.LENGTHS", (100, 10000))
    trainer = Trainer(commits, spec(), tmp_path, 0, torch.device("cpu"))
    trainer.run()
    out = tmp_path / "example"
    training = commits.parts()[0]
    bias = np.log(NEGATIVES * len(training.items) / len(training) / POOL)
    write_example(commits, data, load_checkpoint(tmp_path / "model.safetensors"), out, 2, 3, 10)
    for name in ("make_requests.py", "evaluate.py"):
        (out / name).write_text((ROOT / "examples" / "commits" / name).read_text())
    work = tmp_path / "work"
    command = [sys.executable, str(out / "make_requests.py"), str(work), "--moments", "2"]
    assert "4 requests of 2 developers" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
    module = load_checkpoint(out / "model.safetensors")
    with open(work / "responses.jsonl", "w") as file:
        for line in (work / "requests.jsonl").read_text().splitlines():
            request = json.loads(line)
            assert all(event["time"] < request["time"] for event in request["events"])
            outputs = predict(module, request).outputs
            file.write(json.dumps({"id": request["id"], "outputs": outputs}) + "\n")
            for a, b, candidate in zip(outputs["next"], outputs["touch"], request["candidates"], strict=True):
                logits = [np.log(p / (1 - p)) for p in (a, b)]
                prior = bias + candidate["touches"]
                assert logits[0] - logits[1] == pytest.approx(prior, abs=0.02)  # 16-bit floats
    command = [sys.executable, str(out / "evaluate.py"), str(work / "responses.jsonl"), str(work), "--top", "3"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "4 moments" in printed and "0 refused" in printed


@pytest.mark.parametrize(("name", "part"), [("dmqn", ".hstu."), ("dmqn-two", "sequences.recent.")])
def test_a_grown_model_starts_where_the_smaller_one_ended(commits, tmp_path, name, part):
    simple = Trainer(commits, spec("dmqn-simple"), tmp_path, 0, torch.device("cpu"))
    simple.run()
    grown = Trainer(commits, spec(name), tmp_path, 1, torch.device("cpu"))
    assert all(part in new for new in grown.go_on_from(tmp_path / "model.safetensors"))
    _, _, test = commits.parts()
    sample = commits.sample(test, np.random.default_rng(0))
    kept = load_checkpoint(tmp_path / "model.safetensors")
    found = [score(module, simple.inputs, test, sample) for module in (kept, grown.module)]
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    refused = "this model has no " if name == "dmqn" else "expected a model of the same features whose sequences are "
    with pytest.raises(RunError, match=refused):
        simple.go_on_from(save_to(grown, tmp_path / "grown.safetensors"))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("model", "head", "hidden"), [64, 8], r"this model has no head\.0\.bias of shape \[192\]"),
        (("model", "tables", "item", "dim"), 4, r"this model has no head\.0\.weight of shape \[192, 1146\]"),
        (("model", "event", 0), ..., "expected a model of the same features .*, found other features"),
        (("model", "sequences"), {}, "expected a model of .* whose sequences are the first of other, found long"),
    ],
)
def test_a_model_that_is_none_to_grow_from(commits, tmp_path, path, value, message):
    simple = Trainer(commits, spec("dmqn-simple"), tmp_path, 0, torch.device("cpu"))
    source = save_to(simple, tmp_path / "m.safetensors")
    changed = spec("dmqn-simple")
    changed["start"] = {"long": {"codebooks": [{}] * 5, "heads": [[{}] * 4] * 5}}
    if path == ("model", "sequences"):
        changed["model"]["sequences"][0]["name"] = "other"
        changed["start"]["other"] = changed["start"].pop("long")
    else:
        set_at(changed, path, value)
    other = Trainer(commits, changed, tmp_path, 0, torch.device("cpu"))
    with pytest.raises(RunError, match=rf"^[^\n]*m\.safetensors: {message}[^\n]*$"):
        other.go_on_from(source)


def test_a_state_that_is_not_this_runs(commits, tmp_path):
    trainer = Trainer(commits, spec("dmqn-simple"), tmp_path, 5, torch.device("cpu"))
    trainer.save()
    other = Trainer(commits, spec("dmqn-simple", steps=6), tmp_path, 6, torch.device("cpu"))
    with pytest.raises(RunError, match="expected a run with steps 6, seed 6, found one with steps 4, seed 5; "):
        other.resume()
    wide = set_at(spec("dmqn-simple"), ("model", "head", "hidden"), [64, 8])
    shapes = Trainer(commits, wide, tmp_path, 5, torch.device("cpu"))
    state = (tmp_path / "state.pt").read_bytes()
    for bytes_ in (state, state[:1000], b""):
        (tmp_path / "state.pt").write_bytes(bytes_)
        with pytest.raises(RunError, match=r"^[^\n]*state\.pt: expected the state of a run of this model, [^\n]+$"):
            shapes.resume()


def test_padding_does_not_count_in_dice(commits):
    """Candidates that only fill a batch's rows move no statistic, and so no other candidate's logit."""
    source = fill_template(spec()["model"], commits)
    din = {"kind": "din", "hidden": [5], "activation": "dice"}
    source["sequences"][0]["attention"] = din
    source["sequences"].append({"name": "short", "kind": "din", "last": 4, "attention": din})
    source["head"]["activation"] = "dice"
    config = Config.read(source)
    moments = commits.parts()[0]
    sample = commits.sample(moments, np.random.default_rng(0), np.arange(12))

    def trained(which, item):
        """Statistics and logits after one batch in which candidates `which` of every block are `item`."""
        torch.manual_seed(0)
        module = Ranker(config).train()
        batch = list(blocks(moments, sample, 4))
        for block in batch:
            block.items[which(block)] = item
        found = logits(module, Inputs(commits, config), batch)
        own = torch.cat([part[torch.from_numpy(b.present)] for part, b in zip(found, batch, strict=True)])
        return {name: value.clone() for name, value in module.named_buffers()} | {"logits": own.detach()}

    def padding(block):
        return ~block.present

    assert any(padding(block).any() for block in blocks(moments, sample, 4))
    one, other, present = trained(padding, 3), trained(padding, 40), trained(lambda block: block.present, 40)
    assert len(one) == 9  # mean and var of a layer in each attention and of two in the head; the logits
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
        assert not torch.equal(value, present[name]), name


SEQUENCE, START = ("model", "sequences", 0), ("start", "long")
DIN = {"kind": "din", "hidden": [4], "activation": "relu"}
SHORT = {"name": "short", "kind": "din", "last": 5, "attention": {"kind": "dot", "heads": 1, "dim": 11}}
WHEN = {"name": "time", "kind": "id", "table": "item"}
REFUSED = [
    (("start", "lnog"), {}, r'^start: expected long, tables, head, found "lnog"'),
    (START, ..., r"^start\.long: expected this required key, found nothing"),
    (("start", "tables"), "1", r'^start\.tables: expected a number, found "1"'),
    (("start", "tables"), 0, r"^start\.tables: expected a length above 0, found 0"),
    (("start", "tables"), math.inf, r"^start\.tables: expected a finite number, found Infinity"),
    ((*START, "heads", 0, 0, "item"), 10**400, r"heads\[0\]\[0\]\.item: expected a finite number, found 1000"),
    ((*SEQUENCE, "attention", "dim"), 3, r"long\.attention\.dim: expected at least 4 where heads start on .*, found 3"),
    (("model", "sequences", 0), SHORT, r"short\.attention\.dim: expected at least 12, .*, found 11"),
    (("start", "head"), "plane", r'^start\.head: expected matches or plain, found "plane"'),
    ((*START, "offset"), 1, r'^start\.long: expected codebooks, heads, found "offset"'),
    ((*START, "heads"), ..., r"^start\.long\.heads: expected this required key"),
    ((*START, "heads", 4), ..., r"^start\.long\.heads: expected an array of 5, found 4"),
    ((*START, "heads", 1, 3), ..., r"^start\.long\.heads\[1\]: expected an array of 4, found 3"),
    ((*START, "heads", 0, 0, "ofset"), -303, r'^start\.long\.heads\[0\]\[0\]: expected .*, found "ofset"'),
    ((*START, "heads", 0, 0, "action"), 1, r'heads\[0\]\[0\]: expected item, .*, offset, found "action"'),
    ((*START, "heads", 0, 0, "item"), -1, r"heads\[0\]\[0\]\.item: expected a weight of at least 0, found -1"),
    ((*START, "codebooks", 3, "itme"), 1, r'^start\.long\.codebooks\[3\]: expected item, .*, found "itme"'),
    ((*START, "codebooks", 3, "offset"), 1, r'^start\.long\.codebooks\[3\]: .*, found "offset"'),
    ((*START, "codebooks", 0, "sin1024"), ..., r"codebooks\[0\]: expected cosP and sinP of one period, found cos1024"),
    ((*SEQUENCE, "attention"), DIN, r"^config\.sequences\.long\.attention\.kind: expected dot, .*, found din"),
    ((*SEQUENCE, "attention", "out"), True, r"attention\.out: expected false, .*, found true"),
    (("model", "head", "outputs"), ["touch", "open"], r"^config\.head\.outputs: expected one, .*, found 2"),
    (("model", "head", "hidden"), [8], r"^config\.head\.hidden: expected 2 layers, .*, found 1"),
    (
        ("model", "event", 0),
        {"name": "item", "kind": "ids", "table": "item", "pool": "sum"},
        r"^config\.event\.item\.kind: expected id, float, time, .*, found ids",
    ),
    (
        ("model", "user"),
        [{"name": "v", "kind": "vector", "dim": 2}],
        r"^config\.user\.v\.kind: expected .*, found vector",
    ),
    (("model", "candidate", 0, "table"), "folder", r"candidate\.item\.table: expected item, .*, found folder"),
    (("model", "candidate", 0), {"name": "item", "kind": "float"}, r"item\.kind: expected id, .* found float"),
    (("model", "event", -1), {"name": "user", "kind": "time"}, r"event\.user\.kind: expected id, .* found time"),
    (("model", "tables", "time"), {"dim": 3, "ids": "direct"}, r"^config\.tables\.time: expected the name of ids"),
    (("model", "event", -1), WHEN, r"^config\.event\.time\.kind: expected time, .*, found id"),
    (("model", "context", 0, "name"), "team", r"^config\.context: expected columns .*\(repository\), found 'team'"),
    (("training", "history"), 1, r"^training\.history: expected training moments .*, found none with 1"),
    (("model", "user"), [{"name": "age", "kind": "float"}], r"^config\.user: expected columns .*\(none\), found 'age'"),
    (("model", "event", 4, "name"), "suffix", r"^config\.event: expected columns .*\(time, .*\), found 'suffix'"),
    (("model", "tables", "itme"), {"dim": 3, "ids": "direct"}, r"^config\.tables\.itme: expected the name of ids"),
    (("model", "tables"), ..., r'^config: "tables" is required'),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED)
def test_what_the_trainer_refuses(commits, tmp_path, path, value, message):
    with pytest.raises(ConfigError, match=message):
        changed = set_at(spec(), path, value)
        if value is SHORT:
            changed["start"] = {"short": {"heads": [{"item": 1}]}}
        Trainer(commits, changed, tmp_path, 0, torch.device("cpu"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected JSON, found text that is not: "),
        (b"\xff", "expected JSON, found text that is not: "),
        ('{"model": NaN}', "NaN is no number"),
        ("[]", "expected an object, found []"),
        ('{"model": {}}', "start: expected this required key, found nothing"),
        ({"optimizer": 1}, 'expected model, start, training, found "optimizer"'),
        ({"training": {"step": 1}}, "training: expected steps, batch, "),
        ({"training": {"steps": 0}}, "training.steps: expected an integer of at least 1, found 0"),
        ({"training": {"steps": 1.5}}, "training.steps: expected an integer of at least 1, found 1.5"),
        ({"training": {"rate": "fast"}}, 'training.rate: expected a number, found "fast"'),
        ({"training": {"rate": -1}}, "training.rate: expected a number of at least 0, found -1"),
        ({"training": {"rate": 10**400}}, "training.rate: expected a finite number, found 1000"),
        ({"training": {"tau": 1}}, "training.tau: expected an array of 2 numbers, found 1"),
        ({"training": {"tau": [1, 0]}}, "training.tau[1]: expected a number above 0, found 0"),
    ],
)
def test_a_config_file_that_is_none(tmp_path, monkeypatch, text, message):
    path = tmp_path / "spec.json"
    content = json.dumps(spec() | text) if isinstance(text, dict) else text
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refusal = command_refusal(monkeypatch, "fit", path, "--out", tmp_path / "out", "--data", tmp_path)
    assert refusal.startswith("vqrank-train: error: ") and message in refusal
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--rate", "-1"], "training.rate: expected a number of at least 0"), (["--rate", "nan"], "a finite number")],
)
def test_options_of_the_command_are_checked(tmp_path, monkeypatch, arguments, message):
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec()))
    assert message in command_refusal(monkeypatch, "fit", path, "--out", tmp_path / "out", *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "argument --steps: expected an integer from 1 to 2147483647, found '0'"),
        (["--rate", "fast"], "argument --rate: expected a number, found 'fast'"),
        (["--device", "gpu"], "--device: expected auto or cpu"),
    ],
)
def test_arguments_of_the_command_are_checked(tmp_path, monkeypatch, capsys, arguments, message):
    assert command_refusal(monkeypatch, "fit", "dmqn", "--out", tmp_path / "out", *arguments) == "2"
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_model_named_twice(tmp_path, monkeypatch, capsys):
    models = ["--model", "a=x", "--model", "a=y"]
    assert command_refusal(monkeypatch, "report", *models, "--out", tmp_path, "--data", tmp_path) == "2"
    assert capsys.readouterr().err.splitlines()[-1].endswith("--model: expected each once, found 'a' twice")


def test_a_bucket_without_figures_is_null():
    label, logit, history = np.array([0, 1, 1]), np.array([0.0, 1.0, 2.0]), np.array([30, 30, 200])
    found = measured(label, logit, history)
    assert found["auc"] == [1.0, 1.0, None, None, None]
    assert "NaN" not in json.dumps(found)
    rows = {"rows": [{"name": "m", **found}]}
    assert table(rows, "auc")[-1] == "| m | 1.0000 | 1.0000 |  |  |  |"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected the columns time,"),
        ("{header}\n", "expected events, found none"),
        ("{header}\n1,2\n", "expected 9 integers"),
        ("{header}\n1,a,1,1,1,1,1,1,1\n", "found damage: ValueError"),
        ("{header}\n2,1,1,1,1,1,1,1,1\n1,1,1,1,1,1,1,1,1\n", "sorted by time"),
        (b"no xz", "found damage: LZMAError"),
    ],
)
def test_a_damaged_data_set(tmp_path, content, message):
    (tmp_path / "commits").mkdir()
    text = content if isinstance(content, bytes) else content.format(header=",".join(COLUMNS)).encode()
    path = tmp_path / "commits" / "events.csv.xz"
    path.write_bytes(text if content == b"no xz" else lzma.compress(text))
    with pytest.raises(DataError, match=rf"^[^\n]*events\.csv\.xz: [^\n]*{message}[^\n]*$"):
        Commits(tmp_path)
    path.write_bytes(lzma.compress(b"x" * 1000)[:-20])
    with pytest.raises(DataError, match="EOFError"):
        Commits(tmp_path)


def command_refusal(monkeypatch, *arguments):
    """The line with which the command ends."""
    monkeypatch.setattr(sys, "argv", ["vqrank-train", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        command()
    assert "\n" not in str(stopped.value)
    return str(stopped.value)


@pytest.mark.parametrize("model", ["x", "=x", "x="])
def test_a_model_without_a_name(tmp_path, monkeypatch, capsys, model):
    assert command_refusal(monkeypatch, "report", "--model", model, "--out", tmp_path, "--data", tmp_path) == "2"
    assert capsys.readouterr().err.endswith(f"argument --model: expected NAME=CHECKPOINT, found {model}\n")


@pytest.mark.parametrize("name", ["m.safetensors", "m.pt"])
def test_a_checkpoint_that_is_none(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04 nothing of the kind")
    with pytest.raises(CheckpointError, match="expected a checkpoint, found damage: "):
        load_checkpoint(tmp_path / name)


def save_to(trainer, path):
    save_checkpoint(path, trainer.module)
    return path


def test_shared_moments_hold_no_contradictions(commits):
    """Commits that count as one moment never score a file as touched and as not touched."""
    training, _, _ = commits.parts()
    options = Options(steps=4, batch=4, block=16, shared=4, exact=1.0)
    batches = Batches(training, options)
    dropped = 0
    for step in range(4):
        sample = batches.sample(commits, step, 0)
        pairs = list(zip(sample.moment.tolist(), sample.item.tolist(), sample.label.tolist(), strict=True))
        positive = {(m, i) for m, i, label in pairs if label}
        assert positive and not positive & {(m, i) for m, i, label in pairs if not label}
        which = np.concatenate([np.arange(low, high) for low, high in batches.at(step, 0)])
        drawn = commits.sample(training, np.random.default_rng((0, 2, step)), which, cap=options.positives)
        assert sample.label.sum() == drawn.label.sum()
        dropped += len(drawn.label) - len(sample.label)
    assert dropped > 0
