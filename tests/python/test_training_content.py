"""Vectors and semantic ids of items in the trainer: columns, files of quantizers and codes, and a run that converts."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_support import convert_checkpoint
from library import score_lines
from training_data import WITH_VECTOR, write_kuairand

from vqrank_train.checkpoint import load_checkpoint
from vqrank_train.config import Config, ConfigError, Quantizer
from vqrank_train.errors import DataError, RunError
from vqrank_train.experiments.config import read_table, spec_of
from vqrank_train.experiments.table import parts_of
from vqrank_train.kuairand.data import KuaiRand
from vqrank_train.kuairand.vectors import read_codes, read_vectors, write_codes
from vqrank_train.predict import predict
from vqrank_train.quantizers.file import save_quantizer
from vqrank_train.quantizers.fit import fit_quantizer
from vqrank_train.trainer.fit import Trainer
from vqrank_train.trainer.inputs import Inputs, fill_template
from vqrank_train.trainer.scoring import score

CONFIGS = Path(__file__).resolve().parents[2] / "training" / "configs" / "table"
CODES = 3
QUANTIZED, VECTORS, CODED = "item ids + twotower RQ-GMM", "twotower vectors only", "graph RQ-VAE only"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set, a quantizer of its vectors for seed 0 and other codes."""
    made = tmp_path_factory.mktemp("content")
    write_kuairand(made)
    ids, x = read_vectors(made / "kuairand-pure", "twotower")
    save_quantizer(made / "q0.safetensors", "other-name", fit_quantizer(Quantizer("rq_gmm", 3, CODES, 64), x))
    write_codes(made / "codes.npz", ids, np.arange(3 * len(ids)).reshape(-1, 3))
    return made


def spec_for(row):
    """The real table's training config of a row, for a few steps and the files above."""
    spec = copy.deepcopy(spec_of(read_table("content", CONFIGS), row))
    spec["training"] |= {"steps": 6, "validate": 6, "batch": 4, "validation_moments": 20}
    for quantizer in spec["model"]["quantizers"].values():
        quantizer["codes"] = CODES
    if "quantizers" in spec["start"]:
        spec["start"]["quantizers"] = {"content": "q{seed}.safetensors"}
    return spec


def inputs_of(folder, row):
    data = KuaiRand(folder, {"content": folder / "codes.npz"} if row == CODED else None)
    config = Config.read(fill_template(spec_for(row)["model"], data))
    quantizers = {name: fit_quantizer(own, vectors_of(data)) for name, own in config.quantizers.items()}
    return data, Inputs(data, config, quantizers=quantizers), quantizers


def vectors_of(data):
    return data.vectors["twotower"][~np.isnan(data.vectors["twotower"]).any(1)]


def codes_of(data, *videos):
    return data.codes["item"]([str(video) for video in videos])


def test_vectors_by_video_are_nan_where_there_is_none(folder):
    data = KuaiRand(folder)
    with np.load(folder / "kuairand-pure" / "twotower_item_embeddings.npz") as file:
        expected = file["item_vectors"][1:]
    assert np.array_equal(data.vectors["twotower"][codes_of(data, *range(WITH_VECTOR))], expected)
    assert np.isnan(data.vectors["twotower"][[0, *codes_of(data, WITH_VECTOR)]]).all()
    assert data.kinds["twotower"] == "vector"


def test_columns_of_vectors(folder):
    data, inputs, _ = inputs_of(folder, VECTORS)
    expected = torch.from_numpy(data.vectors["twotower"]).nan_to_num()
    assert torch.equal(inputs.candidates["twotower"], expected)
    assert torch.equal(inputs.events["twotower"], expected[torch.from_numpy(data.event["item"])])
    assert (expected[codes_of(data, WITH_VECTOR)] == 0).all() and "item" not in inputs.candidates


def test_columns_of_semantic_ids(folder):
    """Rows are codes + 1, and 0 for items without a vector: what the module makes of the vectors themselves."""
    data, inputs, quantizers = inputs_of(folder, QUANTIZED)
    rows = inputs.candidates["twotower"]
    assert torch.equal(rows, quantizers["content"].rows(torch.from_numpy(data.vectors["twotower"])))
    assert rows.min() == 0 and (rows[codes_of(data, *range(WITH_VECTOR))] > 0).all()
    assert torch.equal(inputs.events["twotower"], rows[torch.from_numpy(data.event["item"])])
    assert inputs.config.tables["content0"].rows == CODES + 1


def test_columns_of_codes(folder):
    data, inputs, _ = inputs_of(folder, CODED)
    ids, codes = read_codes(folder / "codes.npz")
    for level in range(3):
        keys = ("", *inputs.config.tables[f"content{level}"].keys)
        found = [keys[row] for row in inputs.candidates[f"content{level}"][data.codes["item"](ids[1:])]]
        assert found == [str(code) for code in codes[1:, level]]
        assert inputs.candidates[f"content{level}"][codes_of(data, WITH_VECTOR)].item() == 0
        item = torch.from_numpy(data.event["item"])
        assert torch.equal(inputs.events[f"content{level}"], inputs.candidates[f"content{level}"][item])


def test_parts_of_the_test_sample(folder):
    data = KuaiRand(folder)
    data.training.item[:] = codes_of(data, 1)[0]
    test = data.parts()[2]
    sample = data.sample(test, np.random.default_rng(0))
    rare, others = parts_of("content", data, test, sample)
    assert (others == (sample.item == codes_of(data, 1)[0])).all() and (rare == ~others).all()


def test_codes_whose_column_is_taken(folder):
    with pytest.raises(DataError, match="codes 'onehot_feat': expected a name without a column onehot_feat1"):
        KuaiRand(folder, {"onehot_feat": folder / "codes.npz"})


def test_codes_in_a_table_of_ids(folder):
    spec = spec_for(QUANTIZED)
    spec["model"]["candidate"][-1]["tables"][0] = "tag"
    with pytest.raises(ConfigError, match=r"config\.tables\.tag: expected a table of codes alone"):
        fill_template(spec["model"], KuaiRand(folder))


@pytest.fixture(scope="module")
def trained(folder):
    """A run with semantic ids, and the folder it lies in."""
    out = folder / "run"
    out.mkdir()
    trainer = Trainer(KuaiRand(folder), spec_for(QUANTIZED), out, 0, torch.device("cpu"), folder)
    trainer.run()
    return trainer, out


def test_a_run_with_semantic_ids_converts_and_scores(folder, trained):
    """The checkpoint has the file's quantizer; the command's scores of vectors are the trainer's of rows."""
    trainer, out = trained
    module = load_checkpoint(out / "model.safetensors")
    for part, own in trainer.quantizers["content"].state_dict().items():
        assert torch.equal(module.quantizers["content"].state_dict()[part], own) and own.abs().sum() > 0
    data = trainer.data
    test = data.parts()[2]
    sample = data.sample(test, np.random.default_rng(0))
    logits = score(module, Inputs(data, module.config, quantizers=module.quantizers), test, sample)
    model = convert_checkpoint(out, out / "model.safetensors")
    requests = [request_of(data, test, m, sample.item[sample.moment == m]) for m in range(len(test))]
    found = [json.loads(line) for line in score_lines(model, requests)]
    expected = 1 / (1 + np.exp(-logits.astype(np.float64)))
    for m, response in enumerate(found):
        assert "error" not in response, response
        values = response["outputs"]["click"]
        np.testing.assert_allclose(values, expected[sample.moment == m], rtol=1e-5)
        np.testing.assert_allclose(values, predict(module, requests[m]).outputs["click"], rtol=1e-5)
    assert np.ptp(expected) > 0


def request_of(data, moments, m, items):
    """A moment as the command takes it: raw ids, and vectors where there are any."""
    names = {kind: ["", *codes.names] for kind, codes in data.codes.items()}

    def values(columns, i, group):
        found = {name: names[name][column[i]] for name, column in columns.items() if name in names and column[i]}
        if group == "item":
            found["log_seconds"] = float(columns["log_seconds"][i])
            vector = data.vectors["twotower"][columns["item"][i]]
            found |= {} if np.isnan(vector).any() else {"twotower": [float(v) for v in vector]}
        return found

    user, length = int(moments.user[m]), int(moments.history[m])
    first = int(data.start[user])

    def circle(n):
        return {"cos128": float(np.cos(2 * np.pi * n / 128)), "sin128": float(np.sin(2 * np.pi * n / 128))}

    return {
        "id": m,
        "user": values(data.user, user, "user"),
        "context": {"tab": names["tab"][moments.tab[m]]},
        "events": [values(data.event, first + i, "item") | circle(i) for i in range(length)],
        "candidates": [values(data.candidate, i, "item") | circle(length) for i in items],
    }


def test_another_quantizer_is_refused(folder, trained, tmp_path):
    """Going on with a run, or from its checkpoint: rows were made by the file as it was."""
    _, out = trained
    _, x = read_vectors(folder / "kuairand-pure", "twotower")
    save_quantizer(tmp_path / "q0.safetensors", "content", fit_quantizer(Quantizer("rq_gmm", 3, CODES, 64), x, seed=8))
    other = Trainer(KuaiRand(folder), spec_for(QUANTIZED), out, 0, torch.device("cpu"), tmp_path)
    with pytest.raises(RunError, match=r"state\.pt: expected quantizer content as its file"):
        other.resume()
    with pytest.raises(RunError, match=r"model\.safetensors: expected quantizer content as its file"):
        other.go_on_from(out / "model.safetensors")
    same = Trainer(KuaiRand(folder), spec_for(QUANTIZED), out, 0, torch.device("cpu"), folder)
    same.resume()
    assert same.step == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: spec["start"].pop("quantizers"), "start.quantizers.content: expected this required key"),
        (lambda spec: spec["start"]["quantizers"].update(content=3), "start.quantizers.content: expected the path"),
        (
            lambda spec: spec["model"]["quantizers"]["content"].update(codes=9),
            "config.quantizers.content: expected .*3",
        ),
        (lambda spec: spec["model"]["candidate"][-1].update(name="item2"), "expected columns .*twotower.*'item2'"),
        (
            lambda spec: spec["model"]["candidate"].__setitem__(2, {"name": "tag", "kind": "vector", "dim": 2}),
            "config.candidate.tag.kind: expected id, as the column of the data set is, found vector",
        ),
        (
            lambda spec: spec["model"]["candidate"].__setitem__(-1, {"name": "twotower", "kind": "vector", "dim": 2}),
            "config.candidate.twotower: expected vectors of 64 numbers, as the column of the data set has, found 2",
        ),
    ],
)
def test_configs_that_are_refused(folder, tmp_path, change, message):
    spec = spec_for(QUANTIZED)
    change(spec)
    with pytest.raises(ConfigError, match=message):
        Trainer(KuaiRand(folder), spec, tmp_path, 0, torch.device("cpu"), folder)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"item_ids": np.zeros(2, int), "codes": np.zeros((2, 3), int)}, "expected different integers .*, 1 different"),
        ({"item_ids": np.arange(2.0), "codes": np.zeros((2, 3), int)}, "expected different integers .* found float64"),
        ({"item_ids": np.arange(2), "codes": np.zeros((3, 3), int)}, r"expected integers of shape \[2, numbers\]"),
        ({"item_ids": np.arange(2), "codes": np.zeros((2, 3))}, "expected integers .* found float64"),
        ({"item_ids": np.arange(2)}, r"codes\.npz: expected a file of the data set, found damage: KeyError"),
    ],
)
def test_files_of_codes_that_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "codes.npz", **arrays)
    with pytest.raises(DataError, match=message):
        read_codes(tmp_path / "codes.npz")


def test_vectors_that_are_refused(folder, tmp_path):
    (tmp_path / "graph_emb_item_embeddings.npz").write_bytes(b"no zip")
    with pytest.raises(
        DataError, match=r"graph_emb_item_embeddings\.npz: expected a file of the data set, found damage"
    ):
        read_vectors(tmp_path, "graph")
    for vectors, message in (
        (np.full((1, 2), 1e39), "expected finite numbers"),
        (np.zeros((1, 2), int), "expected floats"),
    ):
        np.savez(tmp_path / "graph_emb_item_embeddings.npz", item_ids=np.arange(1), item_vectors=vectors)
        with pytest.raises(DataError, match=message):
            read_vectors(tmp_path, "graph")


def test_rows_are_beside_the_item_id_or_in_its_place():
    """Without the item id no table of it is left."""
    table = read_table("content", CONFIGS)
    for row in table["rows"]:
        spec = spec_of(table, row)
        names = {feature["name"] for group in ("event", "candidate") for feature in spec["model"][group]}
        assert ("item" in names) == ("item" in spec["model"]["tables"]) == row.startswith("item ids")
