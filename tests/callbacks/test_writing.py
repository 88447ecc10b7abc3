"""Logs for other programs and pictures: files, servers, TensorBoard's writers, matplotlib."""

from __future__ import annotations

import http.server
import itertools
import json
import math
import sys
import threading
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.callbacks import JSONLogger, LambdaCallback, LivePlot, RemoteMonitor, TensorBoard
from nncore.optimizers import MultiOptimizer, OptimizerMap

RNG = np.random.default_rng(2)
X, Y = RNG.standard_normal((60, 4)), RNG.standard_normal((60, 2))


def net() -> nn.Model:
    model = nn.Model([nn.Input(4), nn.Dense(5, "tanh", name="a"), nn.Dense(2, name="b")], seed=1)
    model.compile("adam", "mse", metrics=["mae"])
    return model


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


class Adds(nn.Callback):
    """Something of each kind in the logs."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs |= {"nan": math.nan, "table": np.eye(2), "word": "ä", "whole": np.int32(3), "thing": object()}


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    history = net().fit(X, Y, epochs=3, verbose=0, validation_split=0.2, callbacks=[Adds(), JSONLogger(path)]).history
    found = lines(path)
    assert [line["epoch"] for line in found] == [0, 1, 2]
    for name in ("loss", "mae", "val_loss", "val_mae"):
        assert [line[name] for line in found] == history[name]
    extra = [found[0][name] for name in ("nan", "table", "word", "whole", "thing")]
    assert extra == ["nan", [[1.0, 0.0], [0.0, 1.0]], "ä", 3, "<object>"]
    assert all(a["time"] <= b["time"] for a, b in itertools.pairwise(found))
    net().fit(X, Y, epochs=1, verbose=0, callbacks=[JSONLogger(path, append=True)])
    assert [line["epoch"] for line in lines(path)] == [0, 1, 2, 0]
    net().fit(X, Y, epochs=1, verbose=0, callbacks=[JSONLogger(path)])
    assert len(lines(path)) == 1


@pytest.mark.parametrize("log", [nn.callbacks.CSVLogger, nn.callbacks.JSONLogger])
def test_a_full_disk_is_named(log: Any) -> None:
    model = nn.Model([nn.Input(2), nn.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    with pytest.raises(OSError, match=r"No space left on device: '/dev/full'"):
        model.fit(np.ones((4, 2)), np.ones(4), verbose=0, callbacks=[log("/dev/full")])


def test_json_lines_after_a_resume(tmp_path: Path) -> None:
    class Stops(nn.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    path = tmp_path / "log.jsonl"

    def fit(*more: nn.Callback) -> Any:
        backup = nn.callbacks.BackupAndRestore(tmp_path / "b")
        return net().fit(X, Y, epochs=4, verbose=0, callbacks=[JSONLogger(path), backup, *more])

    with pytest.raises(KeyboardInterrupt):
        fit(Stops())
    with path.open("a") as file:
        file.write('{"epoch": 2, "later": "than the backup"}\n')
    history = fit()
    assert [line["epoch"] for line in lines(path)] == [0, 1, 2, 3]
    assert [line["loss"] for line in lines(path)] == history.history["loss"]


def test_tensorboard_writes_what_keras_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []

    class Writer:
        def __init__(self, directory: str) -> None:
            self.kind = Path(directory).relative_to(tmp_path).as_posix()

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            written.append((self.kind, tag, value, step))

        def add_histogram(self, tag: str, values: Any, step: int) -> None:
            written.append((self.kind, tag, values.shape, step))

        def close(self) -> None:
            written.append((self.kind, "closed"))

    module = types.ModuleType("tensorboardX")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    board = TensorBoard(tmp_path, histogram_freq=2, update_freq=2)
    history = net().fit(X, Y, batch_size=20, epochs=2, verbose=0, validation_data=(X, Y), callbacks=[board, Adds()])
    for epoch in (0, 1):
        for kind, name in (("train", "loss"), ("validation", "loss"), ("train", "mae"), ("validation", "mae")):
            value = history.history[f"val_{name}" if kind == "validation" else name][epoch]
            assert (kind, f"epoch_{name}", value, epoch) in written
    assert [w[3] for w in written if w[1:2] == ("batch_loss",)] == [2, 4, 6]
    assert [w for w in written if w[1].startswith("a/kernel")] == [("train", "a/kernel/histogram", (4, 5), 1)]
    assert sorted(w[0] for w in written if w[1] == "closed") == ["train", "validation"]
    rates = [w for w in written if w[1] == "epoch_learning_rate"]
    assert [(kind, step) for kind, _, _, step in rates] == [("train", 0), ("train", 1)]
    np.testing.assert_allclose([value for *_, value, _ in rates], 0.001)
    for name in ("loss", "mae"):
        tests = [w[2:] for w in written if w[:2] == ("validation", f"evaluation_{name}_vs_iterations")]
        assert tests == list(zip(history.history[f"val_{name}"], (3, 6), strict=True))
    assert not any("steps_per_second" in w[1] for w in written)
    written.clear()
    speed = TensorBoard(tmp_path, 0, True, False, True, "batch")  # by position, as in Keras
    net().fit(X, Y, batch_size=20, epochs=2, verbose=0, callbacks=[speed])
    speeds = [w for w in written if "steps_per_second" in w[1]]
    assert [w[3] for w in speeds if w[1] == "batch_steps_per_second"] == [1, 2, 3, 4, 5, 6]
    assert [w[3] for w in speeds if w[1] == "epoch_steps_per_second"] == [0, 1] and all(w[2] > 0 for w in speeds)
    assert all(type(steps) is int for steps in speed.steps.values())  # and holds no optimizer
    written.clear()
    model = net()
    model.compile(MultiOptimizer(OptimizerMap(nn.SGD(0.5), {"a/.*": nn.Adam(0.25)})), "mse")
    model.fit(X, Y, verbose=0, callbacks=[TensorBoard(tmp_path)])
    assert [w[1:] for w in written if "rate" in w[1]] == [
        ("epoch_learning_rate_adam", 0.25, 0),
        ("epoch_learning_rate_sgd", 0.5, 0),
    ]
    written.clear()
    each = LambdaCallback(on_train_batch_end=lambda batch, logs: None)  # because of which all are called
    net().fit(X, Y, verbose=0, callbacks=[TensorBoard(tmp_path), each])
    assert [w[1] for w in written] == ["epoch_loss", "epoch_mae", "epoch_learning_rate", "closed"]
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="TensorBoard: expected tensorboardX to be installed"):
        TensorBoard(tmp_path)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_server_is_sent_the_logs(as_json: bool) -> None:
    got: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            got.append((self.path, self.headers["X-Who"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            root = f"http://127.0.0.1:{server.server_address[1]}"
            monitor = RemoteMonitor(root, headers={"X-Who": "me"}, send_as_json=as_json)
            one = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(one=np.array([epoch])))
            history = net().fit(X, Y, epochs=2, verbose=0, callbacks=[one, monitor]).history
        finally:
            server.shutdown()
            thread.join()
    from urllib.parse import parse_qs

    texts = [body if as_json else parse_qs(body)["data"][0] for *_, body in got]
    assert [(path, who) for path, who, _ in got] == [("/publish/epoch/end/", "me")] * 2
    assert [json.loads(text)["loss"] for text in texts] == history["loss"]
    assert [json.loads(text)["one"] for text in texts] == [0, 1]
    with pytest.warns(
        UserWarning, match=r"could not reach the server at .*: .*Could not reach RemoteMonitor root server at"
    ):
        net().fit(X, Y, verbose=0, callbacks=[RemoteMonitor(root)])


def test_what_is_not_right_is_told() -> None:
    for make, error, words in [
        (lambda: JSONLogger(""), ValueError, "filename"),
        (lambda: JSONLogger("x", append=3), TypeError, "append: expected True or False"),
        (lambda: TensorBoard("x", update_freq="never"), ValueError, "update_freq"),
        (lambda: TensorBoard("x", profile_batch=2), ValueError, "profile_batch: expected 0, got 2. It is not written"),
        (lambda: TensorBoard("x", write_images=True), ValueError, "write_images: expected False, got True"),
        (lambda: RemoteMonitor("somewhere"), ValueError, "root: expected an address"),
    ]:
        with pytest.raises(error, match=words):
            make()


# -- pictures ------------------------------------------------------------------------------------------------------


@pytest.fixture
def pyplot() -> Any:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    yield pyplot
    pyplot.close("all")


def test_a_history_is_drawn(pyplot: Any, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"validation_data": (X, Y), "validation_freq": 2, "verbose": 0}
    history = net().fit(X, Y, epochs=6, callbacks=[Adds()], **settings)
    figure = history.plot()
    drawn = {
        ax.get_title(): {line.get_label(): line.get_xydata() for line in ax.lines} for ax in figure.axes if ax.lines
    }
    assert list(drawn["loss"]) == ["loss", "val_loss"] and "table" not in drawn and "word" not in drawn
    np.testing.assert_allclose(drawn["loss"]["loss"], np.stack([np.arange(1, 7), history.history["loss"]], 1))
    np.testing.assert_allclose(drawn["loss"]["val_loss"], np.stack([[2, 4, 6], history.history["val_loss"]], 1))
    assert [ax.get_title() for ax in history.plot(["mae"]).axes] == ["mae"]
    figure.savefig(tmp_path / "h.png")
    with pytest.raises(ValueError, match="names: expected some of"):
        history.plot(["nothing"])
    with pytest.raises(TypeError, match=r"names: .*got 'h.png'. For a file call history.plot\(\).savefig"):
        history.plot("h.png")
    with pytest.raises(TypeError, match="figure: expected a figure of matplotlib or None, got 3"):
        history.plot(figure=3)
    with pytest.raises(ValueError, match="plot: expected a history"):
        nn.callbacks.History().plot()


def test_a_model_is_drawn(pyplot: Any, tmp_path: Path) -> None:
    x, z = nn.Input(4, name="x"), nn.Input(3, name="z")
    a = nn.Dense(8, name="a")(x)
    b = nn.Add(name="sum")([a, nn.Dense(8, name="b")(z)])
    model = nn.Model([x, z], {"p": nn.Dense(1, name="p")(nn.Add(name="skip")([a, nn.Dense(8, name="c")(b)])), "q": b})
    ax = model.plot()
    texts = {t.get_text(): t.get_position() for t in ax.texts if t.get_text()}
    heights = [texts[f"{name} · {kind}"][1] for name, kind in
               (("a", "Dense"), ("sum", "Add"), ("c", "Dense"), ("skip", "Add"), ("p", "Dense"))]  # fmt: skip
    assert heights == sorted(heights) and len(set(heights)) == 5
    boxes = [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in ax.patches]
    assert len(boxes) == 8  # two inputs, six layers
    for i, (left, top, width, height) in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert (
                left + width <= other[0]
                or other[0] + other[2] <= left
                or top + height <= other[1]
                or (other[1] + other[3] <= top)
            )
    ax.figure.savefig(tmp_path / "m.png")
    assert nn.Model([nn.Input(4), nn.Dense(2)]).plot(pyplot.subplots()[1]).texts
    with pytest.raises(TypeError, match=r"ax: expected matplotlib axes.*got 'p.png'. .*plot\(\).figure.savefig"):
        model.plot("p.png")
    with pytest.raises(ValueError, match="no shapes yet"):
        nn.Model([nn.Dense(2)]).plot()


def test_a_picture_follows_the_fit(pyplot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []

    class Handle:
        def update(self, figure: Any) -> None:
            shown.append(("again", [len(line.get_xydata()) for line in figure.axes[0].lines]))

    def display(figure: Any, display_id: bool) -> Handle:
        shown.append(("first", [len(line.get_xydata()) for line in figure.axes[0].lines]))
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = object  # type: ignore[attr-defined]
    screen = types.ModuleType("IPython.display")
    screen.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", screen)
    path = tmp_path / "live.png"
    net().fit(X, Y, epochs=5, verbose=0, validation_split=0.2, callbacks=[LivePlot(freq=2, filename=path)])
    assert shown == [("first", [2, 2]), ("again", [4, 4]), ("again", [5, 5])]
    assert path.stat().st_size > 1000


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    model = net()
    history = model.fit(X, Y, verbose=0)
    for draw in (history.plot, model.plot, LivePlot):
        with pytest.raises(ImportError, match="plot: expected matplotlib to be installed: pip install matplotlib"):
            draw()
