"""Writes the favourable pair for LiteRT, by TensorFlow's converter, of fixed lengths: XNNPACK takes no others whole.

    build/peers/venv-tensorflow/bin/python bench/peers/litert_export.py CHECKPOINT FOLDER encode-1000-segment ...

A name is what-rows-how; what: encode, accumulate, finish or score.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from workload import MASKED, Folded, Workload


def embed(tables: list[np.ndarray], columns: tuple[Any, ...]) -> Any:
    rows = [tf.gather(tf.constant(table), column) for table, column in zip(tables, columns, strict=True)]
    return tf.concat(rows, axis=1)


def accumulate(w: Workload, f: Folded, rows: int, how: str) -> Callable[..., Any]:
    """Columns -> sums with counts [N, W, D + 1]. how: "segment", "scatter" or "onehot"."""
    n, k, d = w.codebooks, w.codewords, w.width
    tables = w.tables("event")
    counted = [*tables[:-1], np.concatenate([tables[-1], np.ones((len(tables[-1]), 1), np.float32)], axis=1)]
    fold = np.concatenate([f.scores, np.zeros((1, n * k), np.float32)])

    def run(*columns: Any) -> Any:
        e = embed(counted, columns)
        scores = tf.reshape(tf.matmul(e, tf.constant(fold)), [rows, n, k])
        z = tf.argmax(scores, axis=2, output_type=tf.int32)
        sums = []
        for j in range(n):
            if how == "segment":
                sums.append(tf.math.unsorted_segment_sum(e, z[:, j], k))
            elif how == "scatter":
                sums.append(tf.scatter_nd(z[:, j : j + 1], e, [k, d + 1]))
            else:
                sums.append(tf.matmul(tf.one_hot(z[:, j], k), e, transpose_a=True))
        return tf.stack(sums)

    return run


def finish(w: Workload, f: Folded) -> Callable[[Any], Any]:
    """Sums -> K [N, A, d, W], V [N, A, W, d], mask [N, 1, 1, W]."""
    n, k, d, h, a, dim = w.codebooks, w.codewords, w.width, w.hstu_heads, w.heads, w.head_dim
    dv, dqk = w.sequence["hstu"]["v_dim"], w.sequence["hstu"]["qk_dim"]

    def silu(x: Any) -> Any:
        return x * tf.sigmoid(x)

    def by_head(x: Any, width: int) -> Any:
        return tf.transpose(tf.reshape(x, [n, k, h, width]), [0, 2, 1, 3])

    def run(sums: Any) -> Any:
        total, counts = sums[:, :, :d], sums[:, :, d:]
        there = tf.minimum(counts, 1.0)
        mixed = silu(tf.matmul(total / tf.maximum(counts, 1.0), tf.constant(f.f1)) + f.f1_bias)
        u, v, q, key = tf.split(mixed, [h * dv, h * dv, h * dqk, h * dqk], axis=2)
        weights = silu(tf.matmul(by_head(q, dqk), by_head(key, dqk), transpose_b=True) + f.bias)
        o = tf.matmul(weights, by_head(v * there, dv))
        o = tf.reshape(tf.transpose(o, [0, 2, 1, 3]), [n, k, h * dv])
        off = o - tf.reduce_mean(o, axis=2, keepdims=True)
        o = off * tf.math.rsqrt(tf.reduce_mean(off * off, axis=2, keepdims=True) + 1e-5)
        kv = tf.matmul(u * (o * f.norm + f.norm_bias), tf.constant(f.kv)) + f.kv_bias
        kv = tf.reshape(kv, [n, k, 2, a, dim])
        mask = tf.reshape((1.0 - there) * MASKED, [n, 1, 1, k])
        return tf.transpose(kv[:, :, 0], [0, 2, 3, 1]), tf.transpose(kv[:, :, 1], [0, 2, 1, 3]), mask

    return run


def score(w: Workload, f: Folded, rows: int) -> Callable[..., Any]:
    n, a, dim, users = w.codebooks, w.heads, w.head_dim, len(w.tables("user"))

    def run(keys: Any, values: Any, mask: Any, *columns: Any) -> Any:
        start = tf.matmul(embed(w.tables("user"), columns[:users]), tf.constant(f.head_user)) + f.head_user_bias
        t = embed(w.tables("candidate"), columns[users:])
        q = tf.matmul(t, tf.constant(f.candidate[:, : a * dim])) + f.q_bias
        first = tf.matmul(t, tf.constant(f.candidate[:, a * dim :])) + start
        q = tf.transpose(tf.reshape(q, [rows, a, dim]), [1, 0, 2])[None]
        logits = tf.concat([tf.matmul(q, keys[j : j + 1]) for j in range(n)], axis=0) + mask
        o = tf.matmul(tf.nn.softmax(logits), values)
        o = tf.reshape(tf.transpose(o, [2, 0, 1, 3]), [rows, n * a * dim])
        x = tf.nn.relu(first + tf.matmul(o, tf.constant(f.head_interest)))
        for weight, bias in f.layers[:-1]:
            x = tf.nn.relu(tf.matmul(x, tf.constant(weight)) + bias)
        weight, bias = f.layers[-1]
        return tf.reshape(tf.sigmoid(tf.matmul(x, tf.constant(weight)) + bias), [rows])

    return run


def convert(w: Workload, f: Folded, name: str) -> bytes:
    what, text, how = name.split("-")
    rows = int(text)
    n, k, d, a, dim = w.codebooks, w.codewords, w.width, w.heads, w.head_dim
    events = [tf.TensorSpec([rows], tf.int64, f"event{i}") for i in range(len(w.tables("event")))]
    sums = tf.TensorSpec([n, k, d + 1], tf.float32, "sums")
    state = [
        tf.TensorSpec(shape, tf.float32, part)
        for part, shape in (("K", [n, a, dim, k]), ("V", [n, a, k, dim]), ("M", [n, 1, 1, k]))
    ]
    users = [tf.TensorSpec([1], tf.int64, f"user{i}") for i in range(len(w.tables("user")))]
    candidates = [tf.TensorSpec([rows], tf.int64, f"candidate{i}") for i in range(len(w.tables("candidate")))]
    add, end = accumulate(w, f, rows, how), finish(w, f)
    # In pieces, what came before is added by the graph of the next piece.
    run, signature = {
        "encode": (lambda *columns: end(add(*columns)), events),
        "accumulate": (lambda before, *columns: before + add(*columns), [sums, *events]),
        "finish": (end, [sums]),
        "score": (score(w, f, rows), [*state, *users, *candidates]),
    }[what]
    function = tf.function(run, input_signature=signature).get_concrete_function()
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([function]).convert())


if __name__ == "__main__":
    workload = Workload.load(Path(sys.argv[1]))
    folded = Folded.of(workload)
    for each in sys.argv[3:]:
        (Path(sys.argv[2]) / f"{each}.tflite").write_bytes(convert(workload, folded, each))
