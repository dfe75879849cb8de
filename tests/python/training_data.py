"""Small made-up data sets in the form of the real ones."""

import csv
import io
import lzma

import numpy as np
import zstandard

from vqrank_train.commits.data import ADDED
from vqrank_train.kuairand.data import USER, VIDEO, WIDTH
from vqrank_train.kuairand.vectors import VECTORS

ITEMS, USERS = 60, 4  # of the commits
ROWS = ["user_id", "video_id", "time_ms", "is_click", "is_like", "long_view", "tab"]
TEST_START = 2000  # of the impressions
VIDEOS, WITH_VECTOR = 5, 4  # the last one has none


def write_commits(folder):
    """A data set of commits: two repositories, two developers each, who keep to their own files."""
    (folder / "commits").mkdir()
    rng = np.random.default_rng(3)
    rows, born = [], set()
    for time in range(1, 1500):
        user = int(rng.integers(1, USERS + 1))
        repository = 1 + (user > USERS // 2)
        for item in sorted({int(i) for i in (user - 1) * 15 + 1 + rng.geometric(0.2, rng.integers(1, 4)) % 15}):
            action = 2 if item in born else ADDED
            born.add(item)
            rows.append(
                [1000 + 10 * time, user, item, (item - 1) // 5 + 1, (item - 1) // 15 + 1, item, 1, repository, action]
            )

    def write(name, header, lines):
        with lzma.open(folder / "commits" / f"{name}.csv.xz", "wt", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *lines])

    write("events", ["time", "user", "item", "folder", "directory", "stem", "extension", "repository", "action"], rows)
    write("items", ["id", "name"], [[i, f"r/f{i}.c"] for i in range(1, ITEMS + 1)])
    write("repositories", ["id", "name"], [[1, "one"], [2, "two"]])


def impression(user, video, time, click, tab=1):
    return [user, video, time, click, 0, 0, tab]


def write_kuairand(folder):
    """Impressions of KuaiRand-Pure's form, some of the kinds that are to be left out."""
    (folder / "kuairand-pure").mkdir()

    def write(name, header, rows):
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([header, *rows])
        compressed = zstandard.ZstdCompressor().compress(text.getvalue().encode())
        (folder / "kuairand-pure" / f"{name}.csv.zst").write_bytes(compressed)

    train = [impression(i % 3, i % 5, 1000 + 10 * i, i % 2, i % 2) for i in range(50)]
    late = impression(0, 1, TEST_START + 5, 1)  # after the test part starts
    early = impression(1, 1, 500, 1)  # at the end of its user's history
    test = [impression(2, i % 5, TEST_START + i, i % 2) for i in range(WIDTH + 3)]
    write("val", ROWS, [*train, late, early])
    write("test", ROWS, [*test, test[0]])
    write("user_sequences", ["user_id", "last_time_ms", "watch_seq"], [[0, 400, "1 2 1"], [1, 500, "4"]])
    write("user_features_pure", ["user_id", *USER], [[u, *["x"] * len(USER)] for u in range(3)])
    videos = [[v, 10000 + v, *([f"{v % 2},9"] * len(VIDEO))] for v in range(VIDEOS)]
    write("video_features_basic_pure", ["video_id", "video_duration", *VIDEO], videos)
    for seed, name in enumerate(VECTORS.values()):
        vectors = np.random.default_rng(seed).normal(size=(WITH_VECTOR + 1, 64)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ids = np.array([999, *range(WITH_VECTOR)])  # no row has the first
        np.savez(folder / "kuairand-pure" / name, item_ids=ids, item_vectors=vectors)
