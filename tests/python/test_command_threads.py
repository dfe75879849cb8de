"""`vqrank score --threads`: the same bytes in the same order, and answers as soon as there are any."""

import json
import random
import subprocess
from pathlib import Path

import converter_support as support
import pytest
from command_support import VQRANK, convert, lines, run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return convert(tmp_path_factory.mktemp("threads"), support.CONFIG)


def many_requests(count=700):
    """Requests of very different lengths, a good part of them refused in different ways, and blank lines."""
    rng = random.Random(3)
    refused = ["{", "[]", '{"id": 1}', '{"id": 7, "candidates": [{"item": 1.5}]}', "", "  "]
    requests = []
    for number in range(count):
        if rng.random() < 0.3:
            requests.append(rng.choice(refused))
        else:
            size = rng.choice([0, 1, 5, 400]), rng.choice([0, 1, 7, 60])
            requests.append(support.request_of(support.CONFIG, number, *size) | {"id": number})
    return lines(*requests)


def test_any_number_of_threads_gives_the_same_bytes(model, tmp_path):
    text = many_requests()
    requests = tmp_path / "requests.jsonl"
    requests.write_text(text)
    one = run("score", model, requests, "--stats")
    assert one.returncode == 1 and one.stdout.count('"error"') > 100 and one.stdout.count('"outputs"') > 300
    for threads in (2, 3, 8, 40):
        many = run("score", model, requests, "--stats", "--threads", threads)
        assert (many.returncode, many.stdout, many.stderr) == (1, one.stdout, one.stderr)
        assert run("score", model, "--threads", threads, stdin=text).stdout == one.stdout


def test_a_pipe_is_answered_at_once(model):
    """Each answer comes while the other threads wait for lines."""
    command = [VQRANK, "score", model, "--threads", "4"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        for number in range(20):
            process.stdin.write(lines({"id": number, "candidates": [{"item": 1}]}))
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == number
        process.stdin.close()
        assert process.wait(timeout=60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_threads_that_wait_for_input(model):
    """The input stays open: only the failure to write can end the command."""
    command = [VQRANK, "score", model, "--threads", "3"]
    with (
        open("/dev/full", "w") as full,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=full, stderr=subprocess.PIPE, text=True) as process,
    ):
        process.stdin.write(lines({"id": 1, "candidates": []}))
        process.stdin.flush()
        assert process.wait(timeout=60) == 2
        assert "standard output" in process.stderr.read()


@pytest.mark.parametrize("threads", ["0", "-1", "257", "x"])
def test_unusable(model, threads):
    done = run("score", model, "--threads", threads)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1


def test_unreadable_input(model, tmp_path):
    done = run("score", model, tmp_path, "--threads", "2")
    assert done.returncode == 2 and str(tmp_path) in done.stderr
