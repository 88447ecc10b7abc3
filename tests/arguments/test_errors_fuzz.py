"""Whatever a model is given, drawn at random: only Python's exceptions, of the announced types."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

FUZZ = """
    import faulthandler, sys, warnings
    faulthandler.enable()
    warnings.simplefilter("ignore")
    import numpy as np
    import nncore as nn

    rng = np.random.default_rng(int(sys.argv[1]))
    one_of = lambda values: values[int(rng.integers(len(values)))]
    HUGE = [2**31, 2**63 - 1, 2**63, -2**63, 10**30]
    odd = [None, 0, 1, -1, 2, 3.5, float("nan"), float("inf"), True, "a", "", (), [], {}, object(), b"b", 1j, *HUGE]
    DTYPES = ["f4", "f8", "f2", "i1", "i8", "u1", "u8", "?", ">f4", ">i2", "g", "c8", "U3", "O", "M8[s]", "V4"]

    def array(columns=4):
        c = columns
        shape = one_of([(30, c), (30, c), (30,), (29, c), (0, c), (30, 2, 2), (), (30, c, 0), (1, c)])
        special = np.full(shape, one_of([np.nan, np.inf, 1e300]))
        a = np.asarray(one_of([rng.normal(size=shape), rng.integers(0, 3, shape), special]))
        try:
            a = a.astype(one_of(DTYPES))
        except (TypeError, ValueError):
            pass
        if a.ndim == 2:
            same = np.broadcast_to(a[:1], a.shape) if len(a) else a
            a = one_of([a, a[::-1], a[:, ::-1], np.asfortranarray(a), same, a[:, :1]])
        elif a.ndim == 1:
            a = one_of([a, a[::-1], a[:, None], a[::2]])
        return one_of([a, a, a, a.tolist(), memoryview(np.ascontiguousarray(a)) if a.dtype.kind in "fiu" else a])

    def maybe(good, other=odd, p=0.85):
        return good if rng.random() < p else one_of(other)

    def model():
        inner = nn.Dense(3, one_of([None, "relu", "gelu", "softmax"]))
        layers = [nn.Rescaling(2.0), nn.Dropout(0.1), inner, nn.Flatten(), nn.Reshape((-1,))]
        stack = [one_of(layers) for _ in range(int(rng.integers(0, 4)))]
        stack = [type(l).from_config(l.get_config()) for l in stack]
        stack.append(nn.Dense(3, one_of(["softmax", None, "sigmoid"])))
        m = nn.Sequential(stack, seed=0, n_threads=int(rng.integers(1, 4)), dtype=one_of(["float32", "float64"]))
        if rng.random() < 0.5:
            m.build(maybe(4, odd, 0.9))
        loss = one_of(["mse", "huber", "sparse_categorical_crossentropy", "categorical_crossentropy"])
        m.compile(maybe(one_of(["sgd", "adam"])), maybe(loss), metrics=one_of([None, ["accuracy"], ["mae", "mse"]]))
        return m

    kept, done, fine = None, 0, 0
    while done < 400:
        done += 1
        try:
            m = kept if kept is not None and rng.random() < 0.8 else model()
            kept = m
            x = maybe(one_of([rng.normal(size=(30, 4)), array()]))
            y = maybe(one_of([rng.integers(0, 3, 30), rng.normal(size=(30, 3)), array(3)]))
            match int(rng.integers(7)):
                case 0:
                    m.predict(x, maybe(7))
                case 1:
                    m.evaluate(x, y, batch_size=maybe(7), verbose=0, sample_weight=maybe(None, [array(), *odd]))
                case 2:
                    m.train_on_batch(x, y, maybe(None, [array(), *odd]))
                case 3:
                    m.set_weights(one_of([odd, m.get_weights(), [array() for _ in m.get_weights()], one_of(odd)]))
                case 4:
                    one_of([m.pop, lambda: m.add(nn.Dense(3, "softmax")), lambda: m.add(one_of(odd))])()
                case 5:
                    layers = one_of([odd, one_of(odd), [nn.Dense(maybe(3))]])
                    nn.Model(layers, seed=maybe(0), n_threads=maybe(1), dtype=maybe("float32"))
                case _:
                    small = [v for v in odd if v not in HUGE]
                    m.fit(
                        x, y, batch_size=maybe(7), epochs=maybe(2, small), verbose=0, validation_split=maybe(0.2),
                        validation_data=maybe(None, [(x, y), *odd]), shuffle=maybe(True),
                        class_weight=maybe(None, [{0: 2.0}, *({v: 1} for v in odd if v.__hash__)]),
                        sample_weight=maybe(None, [array(), *odd]), initial_epoch=maybe(0),
                        validation_freq=maybe(1), steps_per_epoch=maybe(None, small), validation_batch_size=maybe(None),
                    )
            fine += 1
        except (ValueError, TypeError, ArithmeticError, MemoryError) as error:
            if isinstance(error, (ZeroDivisionError, OverflowError)) or not str(error):
                raise
    print("done", done, fine)
"""


@pytest.mark.parametrize("seed", range(4))
def test_fuzz(seed: int) -> None:
    """Whatever comes, only Python's exceptions, of the announced types."""
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FUZZ), str(seed)], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr[-3000:]
    done, fine = map(int, run.stdout.split()[1:])
    assert done == 400 and fine > 60
