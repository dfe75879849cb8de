"""`vqrank rank --explain`: what carried a score, against clusters that the library itself assigns."""

import re
from collections import Counter

import converter_support as support
import pytest
from command_support import convert, convert_with_infinite_weights, lines, run
from library import Library

CONFIG = support.config_with(sequence={"codebooks": 2, "codewords": 5})
EVENTS = [{"item": 1 + i * i % 7, "directory": i % 3, "action": "M", "dwell": i % 5} for i in range(60)]
CANDIDATES = [{"item": 9, "directory": 2}, {"item": 2}, {}]
LINE = re.compile(r"^ {10}(long|    ) +(\d\.\d{3})  cluster (\d)/(\d+), (?:(\d+) events?|empty)(?:: (.*))?$")


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
