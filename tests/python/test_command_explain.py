"""`vqrank rank --explain`: what carried a score, against clusters that the library itself assigns."""

import re
from collections import Counter

import converter_support as support
import numpy as np
import pytest
from command_support import convert, convert_with_infinite_weights, lines, run
from explain_support import attention_weights
from library import Library

CONFIG = support.config_with(sequence={"codebooks": 2, "codewords": 5})
EVENTS = [{"item": 1 + i * i % 7, "directory": i % 3, "action": "M", "dwell": i % 5} for i in range(60)]
CANDIDATES = [{"item": 9, "directory": 2}, {"item": 2}, {}]
LINE = re.compile(r"^ {10}(\w*) +(-?\d\.\d{3})  cluster (\d)/(\d+), (?:(\d+) events?|empty)(?:: (.*))?$")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return convert(tmp_path_factory.mktemp("explain"), CONFIG)


def explained(stdout):
    """The matched lines of explanation below each place."""
    groups = []
    for line in stdout.splitlines()[2:]:
        if re.match(r" +\d+ +0\.\d{6} ", line):
            groups.append([])
        else:
            groups[-1].append(LINE.match(line).groups())
    return groups


def test_clusters_are_named_by_their_most_frequent_items(model):
    done = run("rank", model, "--explain", stdin=lines({"id": 1, "events": EVENTS, "candidates": CANDIDATES}))
    assert (done.returncode, done.stderr) == (0, "")
    clusters = Library().assignments(model, CONFIG, EVENTS)["long"]
    groups = explained(done.stdout)
    assert [len(group) for group in groups] == [3, 3, 3]
    for group in groups:
        assert [line[0].strip() for line in group] == ["long", "", ""]
        weights = [float(line[1]) for line in group]
        assert weights == sorted(weights, reverse=True) and 0 < weights[0] <= 1
        for _, _, codebook, cluster, events, names in group:
            inside = [e["item"] for e, z in zip(EVENTS, clusters[int(codebook)], strict=True) if z == int(cluster)]
            assert int(events) == len(inside)
            most = sorted(Counter(inside).items(), key=lambda pair: (-pair[1], pair[0]))[:3]
            assert names == ", ".join(f"{100 * n / len(inside):.0f} % item={item}" for item, n in most)


def test_weights_of_a_codebook_sum_to_one(model):
    request = lines({"id": 1, "events": EVENTS, "candidates": CANDIDATES[:1]})
    (group,) = explained(run("rank", model, "--explain=100", stdin=request).stdout)
    for codebook in "01":
        assert sum(float(line[1]) for line in group if line[2] == codebook) == pytest.approx(1, abs=0.003)
    clusters = Library().assignments(model, CONFIG, EVENTS)["long"]
    assert len(group) == sum(len(set(row)) for row in clusters.tolist())  # masked clusters carry nothing


def test_the_feature_that_tells_most_names_a_cluster(model, tmp_path):
    """Items that never repeat say nothing about a cluster; the second named feature, always the same, does."""
    items, directories = tmp_path / "items.csv", tmp_path / "directories.csv"
    items.write_text("id,name\n1,one\n")
    directories.write_text("id,name\n4,the\x1bdirectory\n")
    events = [{"item": i, "directory": 4} for i in range(40)]
    arguments = ["rank", model, "--top", "1", "--explain", f"--names=item={items}", f"--names=directory={directories}"]
    done = run(*arguments, stdin=lines({"id": 1, "events": events, "candidates": CANDIDATES[:1]}))
    (group,) = explained(done.stdout)
    large = [line for line in group if int(line[4]) > 4]
    assert large and all(line[5] == "100 % the?directory" for line in large)
    events = [{"item": 1, "directory": 4}] * 9
    done = run(*arguments, stdin=lines({"id": 1, "events": events, "candidates": CANDIDATES[:1]}))
    assert explained(done.stdout)[0][0][4:] == ("9", "100 % one")


def test_without_events_or_without_being_asked(model):
    nothing = lines({"id": 1, "candidates": CANDIDATES})
    assert len(run("rank", model, "--explain", stdin=nothing).stdout.splitlines()) == 5
    request = lines({"id": 1, "events": EVENTS, "candidates": CANDIDATES})
    plain = run("rank", model, stdin=request).stdout.splitlines()[1:]
    explain = run("rank", model, "--explain", stdin=request).stdout.splitlines()[1:]
    assert plain == [line for line in explain if not LINE.match(line)]
    assert run("rank", model, "--explain=0", stdin=request).stdout.splitlines()[1:] == plain


def test_empty_clusters_that_are_tokens(tmp_path):
    config = support.config_with(sequence={"codebooks": 1, "codewords": 5, "empty": "zero"})
    model = convert(tmp_path, config)
    done = run("rank", model, "--explain=9", stdin=lines({"id": 1, "events": EVENTS[:1], "candidates": CANDIDATES[:1]}))
    (group,) = explained(done.stdout)
    assert len(group) == 5 and sum(line[4] is None for line in group) == 4


@pytest.mark.parametrize("terms", [0, 2])
def test_groups_of_vql(tmp_path, terms):
    """Every weight is shown beside its codeword's own events, group by group."""
    config = support.config_of_vql(groups=((2, 0), (1,)), codewords=(4, 9), decay_terms=terms)
    model = convert(tmp_path, config)
    request = {"id": 1, "time": 10**9, "events": [e | {"time": i} for i, e in enumerate(EVENTS)]}
    request["candidates"] = CANDIDATES[:1]
    (group,) = explained(run("rank", model, "--explain=100", stdin=lines(request)).stdout)
    clusters = Library().assignments(model, config, EVENTS)["keys"]
    weights = Library().weights(model, config, request)["keys"][0]
    counts = [np.bincount(z, minlength=9) for z in clusters]
    want = {(g, w): (f"{weights[g, w]:.3f}", counts[g][w]) for g in (0, 1) for w in range(9) if counts[g][w]}
    assert {(int(line[2]), int(line[3])): (line[1], int(line[4])) for line in group} == want


def test_buckets_of_hashed_events(tmp_path):
    """1/G beside each bucket that the candidate meets, with the bucket's own events."""
    config = support.config_of_sdim()
    model = convert(tmp_path, config)
    request = {"id": 1, "events": EVENTS, "candidates": CANDIDATES[:1]}
    (group,) = explained(run("rank", model, "--explain=100", stdin=lines(request)).stdout)
    codes = Library().assignments(model, config, EVENTS)["hashed"]
    weights = Library().weights(model, config, request)["hashed"][0]
    met = {(g, c) for g, c in zip(*np.nonzero(weights), strict=True)}
    want = {(int(g), int(c)): ("0.200", int((codes[g] == c).sum())) for g, c in met}
    assert 0 < len(want) <= 5
    assert {(int(line[2]), int(line[3])): (line[1], int(line[4])) for line in group} == want


# ---- attention of both kinds, over clusters and over last events ----

ITEM = [{"name": "item", "kind": "id", "table": "item"}]
HISTORY = [3, 9, 9, 40, 4, 27, 4, 11]
LAST = 5
EVENT_LINE = re.compile(r"^ {10}(?:short|     ) +(-?\d\.\d{3})  (?:(the newest event)|(\d+) events ago): item=(\d+)$")
ATTENTIONS = [
    {"kind": "dot", "heads": 2, "dim": 6},
    {"kind": "din", "hidden": [], "activation": "relu"},
    {"kind": "din", "hidden": [7], "activation": "relu", "softmax": True},
]


def model_over_items(tmp_path, sequence, candidate=17):
    """The model file, its config and tensors, and what `rank --explain` prints below its one candidate."""
    config = support.config_with(user=[], context=[], event=ITEM, candidate=ITEM)
    config["sequences"] = [sequence]
    tensors = support.weights(config)
    model = convert(tmp_path, config, tensors)
    request = {"id": 1, "events": [{"item": item} for item in HISTORY], "candidates": [{"item": candidate}]}
    done = run("rank", model, "--explain=99", stdin=lines(request))
    assert (done.returncode, done.stderr) == (0, "")
    return model, config, tensors, done.stdout.splitlines()[3:]


def test_the_newest_event_alone(tmp_path):
    """HSTU over the last events without attention."""
    block = {"layers": 1, "heads": 2, "qk_dim": 5, "v_dim": 6}
    sequence = {"name": "short", "kind": "hstu", "last": LAST, "hstu": block}
    *_, shown = model_over_items(tmp_path, sequence)
    assert [EVENT_LINE.match(line).groups() for line in shown] == [("1.000", "the newest event", None, "11")]


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_last_events(tmp_path, attention):
    sequence = {"name": "short", "kind": "din", "last": LAST, "attention": attention}
    _, _, tensors, shown = model_over_items(tmp_path, sequence)
    rows = tensors["tables.item.weight"].astype(float)
    name = "sequences.short.attention"
    (weights,) = attention_weights(attention, tensors, name, None, rows[HISTORY[-LAST:]], None, rows[[17]])
    found = [EVENT_LINE.match(line).groups() for line in shown]
    assert [abs(float(line[0])) for line in found] == sorted((abs(float(line[0])) for line in found), reverse=True)
    ago = [1 if newest else int(events) for _, newest, events, _ in found]
    assert sorted(ago) == list(range(1, LAST + 1))
    for (weight, _, _, item), i in zip(found, ago, strict=True):
        assert int(item) == HISTORY[-i]
        assert float(weight) == pytest.approx(weights[-i], abs=0.0006)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_events_of_the_candidate_s_category(tmp_path, attention):
    """The latest two of the last five events that are the candidate's item."""
    match = {"event": "item", "candidate": "item"}
    sequence = {"name": "short", "kind": "sim_hard", "last": LAST, "top": 2, "match": match, "attention": attention}
    for item, kept in ((4, [4, 2]), (27, [3]), (9, []), (17, [])):  # events ago, oldest first
        _, _, tensors, shown = model_over_items(tmp_path, sequence, item)
        rows = tensors["tables.item.weight"].astype(float)
        found = [EVENT_LINE.match(line).groups() for line in shown]
        assert {(int(events), int(own)) for _, newest, events, own in found} == {(ago, item) for ago in kept}
        if kept:
            tokens = rows[[HISTORY[-ago] for ago in kept]]
            name = "sequences.short.attention"
            (weights,) = attention_weights(attention, tensors, name, None, tokens, None, rows[[item]])
            for weight, _, events, _ in found:
                assert float(weight) == pytest.approx(weights[kept.index(int(events))], abs=0.0006)


def test_events_that_heads_choose(tmp_path):
    """Each head its two best of the last five; an event's weight is the mean over heads."""
    attention = ATTENTIONS[0]
    sequence = {"name": "short", "kind": "twin", "last": LAST, "top": 2, "attention": attention}
    _, _, tensors, shown = model_over_items(tmp_path, sequence)
    rows, name, heads = tensors["tables.item.weight"].astype(float), "sequences.short.attention", attention["heads"]
    q, k = (
        (x @ tensors[f"{name}.{part}.weight"].T + tensors[f"{name}.{part}.bias"]).reshape(-1, heads, attention["dim"])
        for part, x in (("q", rows[[17]]), ("k", rows[HISTORY[-LAST:]]))
    )
    expected = np.zeros(LAST)
    for scores in np.einsum("hd,khd->hk", q[0], k) / np.sqrt(attention["dim"]):
        best = np.argsort(-scores, kind="stable")[:2]
        expected[best] += np.exp(scores[best]) / np.exp(scores[best]).sum() / heads
    found = [EVENT_LINE.match(line).groups() for line in shown]
    shares = {1 if newest else int(events): float(weight) for weight, newest, events, _ in found}
    assert shares == pytest.approx({LAST - i: expected[i] for i in range(LAST) if expected[i]}, abs=0.0006)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_clusters(tmp_path, attention):
    """Of a model without HSTU, whose tokens are the clusters' means."""
    hstu = {"layers": 0}
    sequence = {"name": "long", "kind": "dmqn", "codebooks": 2, "codewords": 4, "hstu": hstu, "attention": attention}
    model, config, tensors, shown = model_over_items(tmp_path, sequence)
    clusters = Library().assignments(model, config, [{"item": item} for item in HISTORY])["long"]
    rows = tensors["tables.item.weight"].astype(float)
    expected = {}
    for j, own in enumerate(clusters):
        used = sorted(set(own.tolist()))
        tokens = np.stack([rows[HISTORY][own == k].mean(0) for k in used])
        counts = np.array([(own == k).sum() for k in used])
        (weights,) = attention_weights(attention, tensors, "sequences.long.attention", j, tokens, counts, rows[[17]])
        expected |= {(j, k): weight for k, weight in zip(used, weights, strict=True)}
    found = [LINE.match(line).groups() for line in shown]
    assert [abs(float(line[1])) for line in found] == sorted((abs(float(line[1])) for line in found), reverse=True)
    assert {(int(j), int(k)): float(weight) for _, weight, j, k, *_ in found} == pytest.approx(expected, abs=0.0006)


def test_weights_that_are_not_finite_refuse_the_explanation(tmp_path):
    model = convert_with_infinite_weights(tmp_path)
    events = [{"item": 1, "directory": 2, "action": "M", "dwell": 9.0}] * 3
    request = {"id": 1, "events": events, "candidates": CANDIDATES[:1]}
    assert run("rank", model, stdin=lines(request)).returncode == 0
    done = run("rank", model, "--explain", stdin=lines(request, {**request, "events": []}))
    assert done.returncode == 1 and done.stdout.count("request 1: ") == 2
    assert done.stderr.startswith('vqrank: line 1 refused, overflow: candidate 0: a weight of sequence "long"')
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("argument", ["--explain=x", "--explain=-1"])
def test_unusable(model, argument):
    done = run("rank", model, argument)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1 and "--explain" in done.stderr
