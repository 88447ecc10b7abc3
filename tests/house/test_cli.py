"""The command `nncore`: what a user sees, and what bad options get."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest

import nncore as nn
from nncore import cli
from nncore.cli import digits


@pytest.fixture(scope="module", params=[[], ["--network", "conv"]], ids=["dense", "conv"])
def trained(request, tmp_path_factory):
    """What `nncore train` prints into a pipe, and where its checkpoint went."""
    path = tmp_path_factory.mktemp("cli") / "digits.safetensors"
    command = [sys.executable, "-P", "-m", "nncore", "train", *request.param, "--output", str(path)]
    result = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, timeout=300, check=True)
    return result, path


def test_train_reaches_97_percent(trained):
    result, path = trained
    accuracy = re.search(r"Accuracy on held-out digits: (\d+\.\d+)%", result.stdout)
    assert accuracy is not None
    assert float(accuracy[1]) >= 97
    _, (x, y) = nn.datasets.load_digits()
    right = np.mean(nn.load_model(path).predict(x).argmax(axis=1) == y)
    assert float(accuracy[1]) == pytest.approx(100 * right, abs=0.005)


def test_train_prints_table_checkpoint_and_digits(trained):
    result, path = trained
    assert len(re.findall(r"^ +\d +\d+\.\d% +\d+\.\d% +\d+$", result.stdout, re.MULTILINE)) == 10
    assert str(path) in result.stdout
    assert len(re.findall(r"says \d \(\d+\.\d%\)", result.stdout)) == 4
    assert "Traceback" not in result.stderr


def test_output_is_plain_ascii_in_a_pipe(trained):
    """Terminals and logs of any encoding can hold what the command itself prints."""
    result, _ = trained
    after = result.stdout[result.stdout.index("Accuracy on held-out") :]
    assert after.isascii()


@pytest.mark.parametrize(("network", "seen"), [("dense", {"Dense"}), ("conv", {"Conv2D", "Dense"})])
def test_network_is_the_one_asked_for(network, seen, tmp_path):
    path = tmp_path / "d.safetensors"
    assert cli.main(["train", "--quiet", "--network", network, "--epochs", "1", "--output", str(path)]) == 0
    assert {type(layer).__name__ for layer in nn.load_model(path).layers if layer.weights} == seen


def test_quiet_prints_one_line(tmp_path, capsys):
    assert cli.main(["train", "--quiet", "--epochs", "2", "--output", str(tmp_path / "d.safetensors")]) == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"Accuracy on held-out digits: \d+\.\d\d% \(\d+ of 364\)\n", out)
    assert err == ""


def test_same_seed_same_file_for_any_threads(tmp_path):
    """The weights; the file itself also records the number of threads."""
    weights = []
    for threads in ("1", "2"):
        path = tmp_path / f"{threads}.safetensors"
        options = ["--quiet", "--epochs", "2", "--seed", "7", "--threads", threads, "--output", str(path)]
        assert cli.main(["train", *options]) == 0
        weights.append(nn.load_model(path).get_weights())
    for one, two in zip(*weights, strict=True):
        assert one.tobytes() == two.tobytes()


def test_seeds_differ(tmp_path):
    path = tmp_path / "d.safetensors"
    first = []
    for seed in ("1", "2"):
        assert cli.main(["train", "--quiet", "--epochs", "1", "--seed", seed, "--output", str(path)]) == 0
        first.append(nn.load_model(path).get_weights()[0])
    assert not np.array_equal(*first)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["train", "--epochs", "0"], ["--epochs", "at least 1", "'0'"]),
        (["train", "--batch-size", "many"], ["--batch-size", "at least 1", "'many'"]),
        (["train", "--network", "deep"], ["--network", "'deep'", "dense", "conv"]),
        (["train", "--seed", "-1"], ["--seed", "at least 0", "'-1'"]),
        (["train", "--output", "/no/such/folder/d.safetensors"], ["--output", "/no/such/folder/d.safetensors"]),
        (["learn"], ["learn", "train", "fit", "predict", "info"]),
        ([], ["command"]),
    ],
)
def test_bad_options_are_refused_before_any_work(options, words, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(options)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    for word in words:
        assert word in err


def test_info_names_version_and_instruction_set(capsys):
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    assert nn.__version__ in out
    assert nn.isa() in out


@pytest.mark.parametrize("words", [["fit", "t.csv", "--target", "y"], ["predict", "m.safetensors", "t.csv"]])
def test_commands_for_tables_say_what_they_need(words, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(words) == 1
    assert capsys.readouterr() == (
        "",
        f"nncore: nncore {words[0]}: needs scikit-learn and pandas, which are not installed: "
        "pip install 'nncore-cpu[tables]'\n",
    )


def test_other_commands_do_without_these_packages(tmp_path):
    program = (
        "import sys\nfrom nncore import cli\ncli.main(['info'])\n"
        "assert not {'sklearn', 'pandas', 'nncore.sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)


def test_version_option(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"nncore {nn.__version__}\n"


def test_interrupt_and_full_disk_have_their_own_exit_status(monkeypatch, capsys):
    def raises(error):
        def info():
            raise error

        return info

    for error, status, words in [(KeyboardInterrupt(), 130, "stopped"), (OSError(28, "No space left"), 1, "No space")]:
        monkeypatch.setattr(nn, "show_config", raises(error))
        assert cli.main(["info"]) == status
        assert words in capsys.readouterr().err


def test_reader_that_goes_away_gets_no_traceback(tmp_path):
    command = [sys.executable, "-P", "-m", "nncore", "info"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=60) in (0, 1)  # 0 where it had finished printing first
    assert err == ""


def test_console_script_is_installed():
    (script,) = [s for s in metadata.entry_points(group="console_scripts") if s.name == "nncore"]
    assert script.load() is cli.main


def test_per_digit_table_by_hand():
    truth = np.array([0, 0, 1, 1, 1, 2])
    said = np.array([0, 1, 1, 1, 0, 2])
    lines = digits.per_digit(truth, said).splitlines()
    assert lines[1].split() == ["0", "50.0%", "50.0%", "2"]
    assert lines[2].split() == ["1", "66.7%", "66.7%", "3"]
    assert lines[3].split() == ["2", "100.0%", "100.0%", "1"]
    assert lines[4].split() == ["3", "-", "-", "0"]


def test_gallery_shows_ink_and_the_least_sure_digit():
    _, (x, y) = nn.datasets.load_digits()
    probabilities = np.full((len(y), 10), 0.01)
    probabilities[np.arange(len(y)), y] = 0.91
    probabilities[200] = 0.1
    probabilities[200, 3] = 0.15
    art = digits.gallery(x, y, probabilities).splitlines()
    assert len(art) == 10
    assert art[0].split("   ")[-1].strip() == f"a {y[200]}"
    assert art[-1].count("says") == 4
    assert art[-1].endswith("says 3 (15.0%)")
    assert digits.drawing(np.array([[0, 16, 8]], np.uint8)) == ["  %%=="]
