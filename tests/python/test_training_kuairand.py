"""The KuaiRand reader on made-up files: which rows are left out, what a history is, and that nothing leaks."""

import numpy as np
import pytest
import zstandard
from training_data import write_kuairand

from vqrank_train.errors import DataError
from vqrank_train.kuairand.baselines import Rates, match_counts
from vqrank_train.kuairand.data import WIDTH, KuaiRand


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_kuairand(folder)
    return KuaiRand(folder)


def test_rows_that_are_left_out(data):
    assert len(data.training) + len(data.validation) == 50
    assert len(data.test) == WIDTH + 3
    assert data.training.time.max() < data.validation.time.min() <= data.validation.time.max() < data.test.time.min()


def test_a_history_is_what_was_watched_before_the_split(data):
    names = np.array(["", *data.codes["item"].names])
    for name, watched in (("0", ["1", "2", "1"]), ("1", ["4"]), ("2", [])):
        user = data.codes["user"].code[name]
        events = data.event["item"][data.start[user] : data.start[user + 1]]
        assert names[events].tolist() == watched
    for moments in data.parts():
        assert (moments.history == np.diff(data.start)[moments.user]).all()


def test_moments_hold_every_impression_once(data):
    for rows, moments in zip((data.training, data.validation, data.test), data.parts(), strict=True):
        sample = data.sample(moments, np.random.default_rng(0))
        assert len(sample.item) == len(rows) and sample.label.sum() == rows.click.sum()
        assert np.bincount(sample.moment).max() <= WIDTH
        found = zip(moments.user[sample.moment], moments.tab[sample.moment], sample.item, sample.label, strict=True)
        assert sorted(found) == sorted(zip(rows.user, rows.tab, rows.item, rows.click, strict=True))


def test_a_rate_leaves_out_the_click_it_predicts(data):
    before = Rates(data).training()
    data.training.click[0] ^= 1
    after = Rates(data).training()
    data.training.click[0] ^= 1
    mean = data.training.click.mean()
    # Only the mean that rates start from knows of it: 10 of 10 + n impressions, a 40th each.
    assert np.abs(after[0] - before[0]).max() < 1 / len(data.training) / mean / (1 - mean)


def test_match_counts(data):
    training = data.parts()[0]
    sample = data.sample(training, np.random.default_rng(0))
    counts = match_counts(data, training, sample)
    one = data.codes["item"].code["1"]
    own = (training.user[sample.moment] == data.codes["user"].code["0"]) & (sample.item == one)
    assert own.any() and (counts[own, 0] == 2).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected the column user_id, found an empty file"),
        ("user_id,video_id\n", "expected the column time_ms, found user_id, video_id"),
        ("user_id,video_id,time_ms,is_click,tab\n", "expected rows, found none"),
        ("user_id,video_id,time_ms,is_click,tab\n1,2\n", "expected as many values as columns, found others in row 1"),
        ("user_id,video_id,time_ms,is_click,tab\n1,2,x,1,1\n", "found damage: ValueError: invalid literal"),
        ("user_id,video_id,time_ms,is_click,tab\n1,1,1,1,1\n", "expected impressions after histories, found none"),
        (None, "found damage: ZstdError"),
    ],
)
def test_a_damaged_data_set(tmp_path, text, message):
    write_kuairand(tmp_path)
    content = b"no zst" if text is None else zstandard.ZstdCompressor().compress(text.encode())
    (tmp_path / "kuairand-pure" / "test.csv.zst").write_bytes(content)
    with pytest.raises(DataError, match=rf"kuairand-pure[^\n]*: [^\n]*{message}[^\n]*$"):
        KuaiRand(tmp_path)
