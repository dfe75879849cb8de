"""The command `vqrank` from outside: answers, refusals, exit statuses, messages (docs/command.md)."""

import json
import re
import struct
import subprocess
from pathlib import Path

import converter_support as support
import numpy as np
import pytest
import xxhash
from command_support import VQRANK, convert, lines, run

from vqrank_schema.Model import Model

EVENTS = [{"item": 5, "directory": 2, "action": "M", "dwell": 1.5, "time": 1700000000}, {"item": 6, "action": 7}]
CANDIDATES = [{"item": 9, "directory": 2}, {"item": 2}, {"item": 1000}, {}]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of three outputs, converted with its golden request."""
    return convert(tmp_path_factory.mktemp("command"), support.config_with(**support.CASES["outputs"]))


def damaged(model, path, offset, raw):
    content = bytearray(model.read_bytes())
    content[offset : offset + len(raw)] = raw
    path.write_bytes(content)
    return path


# ---- score ----


def test_score_answers_in_order(model):
    requests = lines({"id": "a", "events": EVENTS, "candidates": CANDIDATES}, "", "  ", {"id": 2, "candidates": []})
    done = run("score", model, stdin=requests)
    assert (done.returncode, done.stderr) == (0, "")
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["id"] == "a" and list(first["outputs"]) == ["ctr", "cvr", "like"]
    assert all(len(scores) == 4 and all(0 < s < 1 for s in scores) for scores in first["outputs"].values())
    assert second == {"id": 2, "outputs": {"ctr": [], "cvr": [], "like": []}}
    assert done.stdout.splitlines()[1] == '{"id": 2, "outputs": {"ctr": [], "cvr": [], "like": []}}'


def test_numbers_give_the_floats_back(model):
    done = run("score", model, stdin=lines({"id": 1, "events": EVENTS, "candidates": CANDIDATES}))
    for scores in json.loads(done.stdout, parse_float=str)["outputs"].values():
        assert all(f"{np.float32(s):.9g}" == s for s in scores)


def test_score_reads_files_and_dash(model, tmp_path):
    requests = tmp_path / "requests.jsonl"
    requests.write_text(json.dumps({"id": "a", "candidates": CANDIDATES}))  # no newline at the end
    expected = run("score", model, requests).stdout
    assert expected.count("\n") == 1
    assert run("score", model, "-", stdin=requests.read_text()).stdout == expected
    assert run("score", model, stdin=requests.read_text().replace(", ", ",") + "\r\n").stdout == expected


def test_every_isa_gives_the_same_bytes(model):
    requests = lines({"id": 1, "events": EVENTS * 50, "candidates": CANDIDATES})
    usable = run("score", model, "--isa", "none").stderr.strip().rpartition("usable here: ")[2].split(", ")
    assert "ref" in usable
    done = {isa: run("score", model, "--isa", isa, "--stats", stdin=requests) for isa in usable}
    assert len({result.stdout for result in done.values()}) == 1
    assert all(result.stderr.endswith(f"; instruction set {isa}\n") for isa, result in done.items())


def test_candidates_do_not_see_each_other(model):
    whole = run("score", model, stdin=lines({"id": 1, "events": EVENTS, "candidates": CANDIDATES}))
    alone = run("score", model, stdin=lines(*({"id": 1, "events": EVENTS, "candidates": [c]} for c in CANDIDATES)))
    columns = json.loads(whole.stdout)["outputs"]
    rows = [json.loads(line)["outputs"] for line in alone.stdout.splitlines()]
    assert columns == {name: [row[name][0] for row in rows] for name in columns}


@pytest.mark.parametrize(
    ("request_", "id_", "code", "part"),
    [
        ("{", None, "json", "line 2: not JSON"),
        ('{"id": NaN, "candidates": []}', None, "json", "NaN"),
        ("[]", None, "type", "expected an object"),
        ({"candidates": []}, None, "missing", '"id"'),
        ({"id": 1}, 1, "missing", '"candidates"'),
        ({"id": 1.5, "candidates": []}, None, "type", "id"),
        ({"id": 1, "candidates": [], "evnets": []}, 1, "unknown", '"evnets"'),
        ({"id": 1, "candidates": [{"time": 5}]}, 1, "unknown", '"time"'),
        ({"id": 1, "candidates": [{"item": 5.0}]}, 1, "type", "candidates[0].item"),
        ({"id": 1, "candidates": [{"item": True}]}, 1, "type", "candidates[0].item"),
        ({"id": 1, "candidates": [{"item": "5"}]}, 1, "type", "item"),  # a direct table, as the library says it
        ({"id": 1, "candidates": [{"item": 2**63}]}, 1, "range", "candidates[0].item"),
        ({"id": 1, "candidates": [], "events": [{"dwell": 1e6}]}, 1, "range", "dwell"),
        ('{"id": 1, "candidates": [], "events": [{"dwell": 1e999}]}', 1, "range", "events[0].dwell"),
        ('{"id": 1, "candidates": [{"item": 1, "item": 2}]}', 1, "duplicate", '"item"'),
    ],
)
def test_a_refusal_leaves_the_others_answered(model, request_, id_, code, part):
    good = {"id": "good", "events": EVENTS, "candidates": CANDIDATES}
    done = run("score", model, stdin=lines(good, request_, good))
    assert (done.returncode, done.stderr) == (1, "")
    before, refused, after = done.stdout.splitlines()
    assert before == after and "outputs" in json.loads(before)
    answer = json.loads(refused)
    assert list(answer) == ["id", "error"] and answer["id"] == id_
    assert answer["error"]["code"] == code and part in answer["error"]["message"]


def test_codes_are_listed():
    """Every code that a request can be refused with stands in docs/command.md."""
    root = Path(__file__).parents[2]
    page = (root / "docs" / "command.md").read_text().partition("### Refusals")[2].partition("## rank")[0]
    words = {word for row in re.findall(r"^\|(.*?)\|", page, re.MULTILINE) for word in re.findall(r"`([a-z]+)`", row)}
    readers = [root / "tools" / f"{name}.c" for name in ("request", "document", "answer", "scorer")]
    codes = {code for path in readers for code in re.findall(r'refuse\(&?refusal, "(\w+)"', path.read_text())}
    names = set(re.findall(r'\[VQR_\w+\] = "(\w+)"', (root / "runtime" / "error.c").read_text()))
    codes |= names - {"ok", "io", "format", "version", "unsupported"}  # of files and processors
    assert codes == words and len(codes) == 12


def test_a_result_that_is_not_finite(model, tmp_path):
    told = json.loads(run("inspect", model, "--json").stdout)
    head = next(t for t in told["tensors"] if t["name"] == "head.0.weight")
    weights = np.zeros((head["bytes"] // 64, 16), np.float32)
    weights[:, :3] = 3e38  # of three outputs; the rest is padding
    path = damaged(model, tmp_path / "large.vqr", head["offset"], weights.tobytes())
    done = run("score", path, stdin=lines({"id": 1, "candidates": CANDIDATES}))
    assert done.returncode == 1 and json.loads(done.stdout)["error"]["code"] == "overflow"


def test_bytes_that_are_not_utf8(model):
    done = subprocess.run(
        [VQRANK, "score", model], input=b'{"id": "\xff", "candidates": []}\n', capture_output=True, check=False
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "json"


def test_a_pipe_is_answered_line_by_line(model):
    with subprocess.Popen(
        [VQRANK, "score", model], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for number in range(3):
            process.stdin.write(lines({"id": number, "candidates": CANDIDATES}))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == number
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_stats_count_unknown_ids(model):
    done = run("score", model, "--stats", stdin=lines({"id": 1, "candidates": [{"item": 1000}, {"item": 1}]}, "{"))
    assert done.returncode == 1
    assert "2 requests, 1 refused; 2 ids looked up, 1 unknown" in done.stderr


def test_ids_of_the_other_kind_are_no_keys(tmp_path):
    """Where probing meets a key of the other kind that is stored as the id would be: a string at place 0 of the text
    where the integer 0 is looked for, an integer where the empty string is."""

    def slot(raw):
        return xxhash.xxh3_64_intdigest(raw) % 4

    text = next(key for key in map("key {}".format, range(99)) if slot(key.encode()) == slot(struct.pack("<q", 0)))
    number = next(key for key in range(1, len(text)) if slot(struct.pack("<q", key)) == slot(b""))
    config = support.config_with()
    config["tables"]["action"] = {"rows": 3, "dim": 4, "ids": "vocabulary", "keys": [text, number]}
    path = convert(tmp_path, config)
    for keys, unknown in (([text, number], 0), ([0, ""], 2)):
        request = {"id": 1, "events": [{"action": key} for key in keys], "candidates": []}
        assert f"2 ids looked up, {unknown} unknown" in run("score", path, "--stats", stdin=lines(request)).stderr


# ---- rank ----


def test_rank_shows_the_best_first(model, tmp_path):
    requests = lines({"id": "r 1", "events": EVENTS, "candidates": CANDIDATES})
    scores = json.loads(run("score", model, stdin=requests).stdout)["outputs"]["cvr"]
    names = tmp_path / "items.csv"
    names.write_text('id,name\n9,nine\n2,"two, ""quoted"""\n')
    relevant = tmp_path / "relevant.jsonl"
    relevant.write_text('{"id": "r 1", "relevant": [2, 77]}\n')
    done = run("rank", model, "--output", "cvr", f"--names=item={names}", "--relevant", relevant, stdin=requests)
    assert (done.returncode, done.stderr) == (0, "")
    heading, columns, *rows = done.stdout.splitlines()
    assert heading.startswith("request r 1: 2 events, 4 candidates, encode ")
    assert heading.endswith("1 of 2 relevant in the top 10")
    assert columns.split() == ["rank", "cvr", "candidate"]
    shown = ["nine", 'two, "quoted"', "item=1000", "(no item)"]
    order = sorted(range(4), key=lambda i: -scores[i])
    assert [row.split(maxsplit=1)[0] for row in rows] == ["1", "2", "3", "4"]
    for row, candidate in zip(rows, order, strict=True):
        assert row.endswith(f"{scores[candidate]:.6f}   {shown[candidate]}")
        assert ("*" in row) == (candidate == 1)
    assert "\033" not in done.stdout


def test_rank_refuses_on_standard_error(model):
    done = run("rank", model, "--top", "1", stdin=lines("{", {"id": 1, "candidates": CANDIDATES}))
    assert done.returncode == 1
    assert done.stderr.startswith("vqrank: line 1 refused, json: ")
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--top", "0"], "--top"),
        (["--top", "x"], "x"),
        (["--output", "nope"], "--output nope"),
        (["--names", "item"], "FEATURE=FILE.csv"),
        (["--names", "nope=x.csv"], "no id feature nope"),
        (["--names", "item=/nowhere.csv"], "/nowhere.csv"),
        (["--relevant", "/nowhere.jsonl"], "/nowhere.jsonl"),
    ],
)
def test_rank_says_what_is_unusable(model, arguments, part):
    done = run("rank", model, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("vqrank: ") and done.stderr.count("\n") == 1 and part in done.stderr


# ---- inspect and selftest ----


def test_inspect_tells_all(model):
    done = run("inspect", model)
    assert (done.returncode, done.stderr) == (0, "")
    cached = "(sums and counts of 57 clusters, keys and values)"
    parts = ["3 codebooks of 19 codewords", cached, "outputs ctr, cvr, like", "tables.item.weight"]
    assert all(part in done.stdout for part in [*parts, "every value is sound"])


def test_inspect_json_keys(model):
    done = run("inspect", model, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["verified"] == {"ok": True}
    assert told["name"] == "example" and told["format_version"] == 6 and told["golden_requests"] == 1
    assert told["file_bytes"] == model.stat().st_size and told["session_bytes"] > 0 and told["state_bytes"] > 0
    assert {t["name"]: (t["rows"], t["dim"], t["type"], t["ids"]) for t in told["tables"]} == {
        name: (t["rows"], t["dim"], "F32", t["ids"]) for name, t in support.CONFIG["tables"].items()
    }
    for group in ("user", "context", "event", "candidate"):
        expected = [(f["name"], f["kind"]) for f in support.CONFIG[group]]
        assert [(f["name"], f["kind"]) for f in told["features"][group]] == expected
    (sequence,) = told["sequences"]
    assert (sequence["kind"], sequence["codebooks"], sequence["codewords"]) == ("dmqn", 3, 19)
    assert sequence["hstu"]["eps"] == 1e-5 and sequence["hstu"]["bias"] == "shared"
    assert told["head"] == {"hidden": [], "activation": "relu", "outputs": ["ctr", "cvr", "like"]}
    assert told["assignments"] is None
    assert all(t["offset"] % 64 == 0 and t["bytes"] > 0 for t in told["tensors"])


COST = re.compile(r"(?m)^ +caches ([\d,]+) bytes a user \((.*)\); a candidate takes up to ([\d,]+) multiply-adds$")
INSPECTED = {
    "shared din": (
        {"kind": "dot", "heads": 2, "dim": 5, "count_bias": False, "out": None, "state": "fp32"},
        {"kind": "din", "hidden": [17], "activation": "dice", "softmax": True, "share": True},
        ("dot, 2 heads 5 wide", "din, hidden 17 dice, softmax yes; one set of weights for all codebooks"),
    ),
    "no hidden layers": (
        {"kind": "din", "hidden": [], "activation": "dice", "softmax": False},
        {"kind": "din", "hidden": [], "activation": "prelu", "softmax": False, "share": False},
        ("din, no hidden layers, softmax no", "din, no hidden layers, softmax no; weights per codebook"),
    ),
}


@pytest.mark.parametrize("case", INSPECTED)
def test_inspect_of_both_kinds(tmp_path, case):
    model = convert(tmp_path, support.config_of_every_kind(**support.KIND_CASES[case]))
    short, long, attentions = INSPECTED[case]
    told = json.loads(run("inspect", model, "--json").stdout)
    first, second = told["sequences"]
    costs = [first.pop(key) for key in ("state_bytes", "candidate_work")]
    assert first == {"name": "short", "kind": "din", "last": 6, "attention": short}
    assert (second["name"], second["kind"], second["attention"]) == ("long", "dmqn", long)
    text = run("inspect", model).stdout
    assert "sequences   short            DIN: the last 6 events\n" in text
    assert tuple(re.findall(r"^ +attention: (.*)$", text, re.MULTILINE)) == attentions
    words = "the last 6 events, keys and values" if short["kind"] == "dot" else "the last 6 events"
    costs += [second[key] for key in ("state_bytes", "candidate_work")]
    assert COST.findall(text) == [
        (f"{costs[0]:,}", words, f"{costs[1]:,}"),
        (f"{costs[2]:,}", "sums and counts of 57 clusters, interests", f"{costs[3]:,}"),
    ]
    if short["kind"] == "dot":  # queries of a candidate 20 wide; each head's products and an exponential
        assert costs[1] == 20 * 2 * 5 + 6 * 2 * (5 + 5 + 16)


@pytest.mark.parametrize("case", support.VQL_CASES)
def test_inspect_of_vql(tmp_path, case):
    config = support.config_of_vql(**support.VQL_CASES[case])
    model = convert(tmp_path, config)
    (sequence,) = config["sequences"]
    a, d, dv, groups = (sequence[key] for key in ("heads", "dim", "v_dim", "groups"))
    terms, out = sequence.get("decay_terms", 0), 10 if sequence.get("out") else None
    told = json.loads(run("inspect", model, "--json").stdout)
    (found,) = told["sequences"]
    assert [type(s) for s in found.pop("exponents")] == [int] * a
    bytes_, work = found.pop("state_bytes"), found.pop("candidate_work")
    assert found == {"name": "keys", "kind": "vql", "scores": "fp32", "heads": a, "dim": d, "v_dim": dv,
                     "groups": groups, "decay_terms": terms, "out": out}  # fmt: skip
    # Queries of a candidate 13 wide, heads over their groups' codewords, output projection.
    heads = sum(len(g["heads"]) * g["codewords"] * (d + dv + 16) for g in groups)
    assert work == 13 * a * d + heads + a * dv * (out or 0)
    # Sums of 8 bytes for each value of each codeword, once and for each term.
    sums = sum(len(g["heads"]) * g["codewords"] * dv * 8 for g in groups)
    assert (1 + terms) * sums < bytes_ < told["state_bytes"]
    text = run("inspect", model).stdout
    clusters = sum(g["codewords"] for g in groups)
    kept = f"under {terms} decay term{'s' * (terms > 1)}, keys" if terms else ", keys and values"
    words = f"sums and counts of {clusters} clusters {kept}".replace(" ,", ",")
    assert COST.findall(text) == [(f"{bytes_:,}", words, f"{work:,}")]
    assert f"VQL: {a} head{'s' * (a > 1)}, key {d} wide, value {dv} wide" in text
    for g, group in enumerate(groups):
        n, listed = group["codewords"], ", ".join(map(str, group["heads"]))
        many = "s" * (len(group["heads"]) > 1)
        assert f"group {g}: {n} codeword{'s' * (n > 1)} for head{many} {listed}\n" in text
    assert run("selftest", model).returncode == 0


def test_inspect_of_sdim(tmp_path):
    model = convert(tmp_path, support.config_of_sdim(hashes=6, bits=4))
    told = json.loads(run("inspect", model, "--json").stdout)
    (found,) = told["sequences"]
    bytes_, work = found.pop("state_bytes"), found.pop("candidate_work")
    assert found == {"name": "hashed", "kind": "sdim", "hashes": 6, "bits": 4}
    assert work == 18 * (13 + 6 * 4 + 6)  # an event is 18 wide, a candidate 13
    assert 6 * 16 * (18 * 12 + 4) <= bytes_ < told["state_bytes"]
    text = run("inspect", model).stdout
    assert "sequences   hashed           SDIM: 6 hashes of 4 bits, 16 buckets each\n" in text
    assert COST.findall(text) == [(f"{bytes_:,}", "sums, counts and directions of 96 buckets", f"{work:,}")]
    assert run("selftest", model).returncode == 0


HSTU_WORDS = {
    "bare": ("the last 20 events, the newest one's output", "events as they are, positions none, times not read"),
    "all of it": ("the last 20 events with times, keys and values",
                  "events times sqrt(width), positions learned, times in 128 buckets"),
    "times only": ("the last 20 events with times, interests",
                   "events as they are, positions none, times in 1 bucket"),
    "no layers": ("the last 20 events, keys and values", "events as they are, positions learned, times not read"),
}  # fmt: skip


@pytest.mark.parametrize("case", support.HSTU_CASES)
def test_inspect_of_hstu(tmp_path, case):
    config = support.config_of_hstu(**support.HSTU_CASES[case])
    model = convert(tmp_path, config)
    (sequence,), (kept, words) = config["sequences"], HSTU_WORDS[case]
    (found,) = json.loads(run("inspect", model, "--json").stdout)["sequences"]
    bytes_, work = found.pop("state_bytes"), found.pop("candidate_work")
    assert work == 0 if "attention" not in sequence else work > 100
    assert {key: found[key] for key in ("name", "kind", "last", "scale", "positions", "time_buckets")} == {
        "name": "all", "kind": "hstu", "last": 20, "scale": sequence.get("scale", "one"),
        "positions": sequence.get("positions", False), "time_buckets": sequence.get("time_buckets", 0),
    }  # fmt: skip
    layers = sequence["hstu"]["layers"]
    assert found["hstu"]["layers"] == layers and "share" not in found["hstu"]
    assert found["hstu"]["bias"] == ("none" if sequence["hstu"].get("bias") == "none" else "shared")
    kind = found["attention"]["kind"] if found["attention"] else None
    assert kind == (sequence["attention"]["kind"] if "attention" in sequence else None)
    text = run("inspect", model).stdout
    first = "HSTU: the last 20 events in order, each seeing those before it"
    assert re.search(rf"{first}\n +{re.escape(words)}\n", text)
    assert ("no attention: every candidate takes the newest event's output\n" in text) == ("attention" not in sequence)
    assert ("no HSTU: events go on as they are\n" in text) == (layers == 0)
    assert COST.findall(text) == [(f"{bytes_:,}", kept, f"{work:,}")]
    assert run("selftest", model).returncode == 0


@pytest.mark.parametrize("case", support.SEARCH_CASES)
def test_inspect_of_search(tmp_path, case):
    config = support.search_case(case)
    model = convert(tmp_path, config)
    (sequence,) = config["sequences"]
    last, top, attention = (sequence[key] for key in ("last", "top", "attention"))
    (found,) = json.loads(run("inspect", model, "--json").stdout)["sequences"]
    bytes_, work = found.pop("state_bytes"), found.pop("candidate_work")
    told = found.pop("attention")
    assert found == {key: value for key, value in sequence.items() if key != "attention"}
    text = run("inspect", model).stdout
    kept = "the last 30 events"
    if attention["kind"] == "dot":
        a, d, out = attention["heads"], attention["dim"], 10 if attention.get("out") else 0
        assert told == {"kind": "dot", "heads": a, "dim": d, "count_bias": False, "out": out or None,
                        "state": "fp32"}
        kept += ", keys and values"
        # Queries of a candidate 17 wide and the output; scores of all events, of which each is compared; those chosen.
        heads = last * (d + 16) + top * (2 * d + 16) if sequence["kind"] == "twin" else top * (2 * d + 16 + 2 * d)
        assert work == a * d * (17 + out) + a * heads
    if sequence["kind"] == "sim_hard":
        kept += ", sorted"
        event, candidate = sequence["match"].values()
        assert f"SIM: the latest {top} events whose {event} is the candidate's {candidate}, of the last 30" in text
    else:
        assert f"TWIN: each head's {top} largest score{'s' * (top > 1)}, of the last 30 events\n" in text
    assert COST.findall(text) == [(f"{bytes_:,}", kept, f"{work:,}")]
    assert run("selftest", model).returncode == 0


def test_selftest_passes_on_every_isa(model):
    done = run("selftest", model)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ref ok 12 values, max error against float64 ")
    assert all(" ok " in line or line.endswith("not run: this machine lacks it") for line in done.stdout.splitlines())
    assert len(run("selftest", model, "--isa", "ref").stdout.splitlines()) == 1


def test_selftest_fails_when_scores_differ(model, tmp_path):
    told = json.loads(run("inspect", model, "--json").stdout)
    bias = next(t for t in told["tensors"] if t["name"] == "head.0.bias")
    done = run("selftest", damaged(model, tmp_path / "other.vqr", bias["offset"], np.float32(0.5).tobytes()))
    assert done.returncode == 1
    assert "ref FAILED golden request 0, value 0: found " in done.stdout


def test_selftest_fails_when_float64_is_further_than_the_bound(model, tmp_path):
    content = model.read_bytes()
    golden = Model.GetRootAs(content, 4).Golden(0)
    stored = struct.pack("<d", golden.Float64(0))
    done = run("selftest", damaged(model, tmp_path / "far.vqr", content.index(stored), struct.pack("<d", 0.123)))
    assert done.returncode == 1
    assert "ref FAILED golden request 0: error against float64 is " in done.stdout and "allowed 1.0e-05" in done.stdout


def test_a_damaged_table_is_found(model, tmp_path):
    told = json.loads(run("inspect", model, "--json").stdout)
    table = next(t for t in told["tensors"] if t["name"] == "tables.item.weight")
    offset = table["offset"] + 9 * support.CONFIG["tables"]["item"]["dim"] * 4
    broken = damaged(model, tmp_path / "broken.vqr", offset, np.float32(np.nan).tobytes())
    done = run("inspect", broken, "--json")
    assert done.returncode == 2 and done.stderr.startswith("vqrank: ") and '"item"' in done.stderr
    verified = json.loads(done.stdout)["verified"]
    assert not verified["ok"] and verified["code"] in ("table", "format") and "row 9" in verified["message"]
    # Only the request that touches the row is refused.
    done = run("score", broken, stdin=lines({"id": 1, "candidates": [{"item": 9}]}, {"id": 2, "candidates": [{}]}))
    first, second = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 1 and first["error"]["code"] == "table" and "outputs" in second


# ---- arguments ----


def test_help_teaches():
    done = run("--help")
    assert done.returncode == 0 and "Example" in done.stdout
    for command in ("score", "rank", "inspect", "selftest", "bench", "clusters"):
        assert f"  {command} " in done.stdout
        told = run(command, "--help")
        assert (told.returncode, told.stderr) == (0, "")
        assert told.stdout.startswith(f"Usage: vqrank {command} [OPTION...] MODEL")
        assert re.search("^Examples?:$", told.stdout, re.MULTILINE) and "--isa" in told.stdout
    assert run("--version").stdout.startswith("vqrank 0.")


@pytest.mark.parametrize("arguments", [[], ["nope"], ["--nope"], ["score"], ["score", "--nope"], ["inspect", "a", "b"]])
def test_unusable_arguments(arguments):
    done = run(*arguments)
    assert done.returncode == 2 and done.stdout == "" and done.stderr != ""


@pytest.mark.parametrize("command", ["score", "rank", "inspect", "selftest", "bench", "clusters"])
def test_unusable_models(command, model, tmp_path):
    empty, other, cut = tmp_path / "empty.vqr", tmp_path / "other.vqr", tmp_path / "cut.vqr"
    empty.write_bytes(b"")
    other.write_text("not a model\n" * 100)
    cut.write_bytes(model.read_bytes()[:-100])
    for path in (empty, other, cut, tmp_path / "missing.vqr", tmp_path):
        done = run(command, path)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("vqrank: ") and done.stderr.count("\n") == 1
        assert done.stderr.count(str(path)) == 1
    done = run(command, model, "--isa", "sse9")
    assert done.returncode == 2 and "usable here: ref" in done.stderr


def test_missing_requests(model, tmp_path):
    done = run("score", model, tmp_path / "none.jsonl")
    assert done.returncode == 2 and "none.jsonl" in done.stderr
    done = run("score", model, tmp_path)
    assert done.returncode == 2 and str(tmp_path) in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_not_success(model):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [VQRANK, "score", model], input=lines({"id": 1, "candidates": []}), stdout=full, stderr=subprocess.PIPE,
            text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 2 and "standard output" in done.stderr
