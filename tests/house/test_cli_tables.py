"""`nncore fit` and `nncore predict`: what they print and write, what is guessed, and the line for each mistake."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.tables
pd = pytest.importorskip("pandas", reason="pandas is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")
pytest.importorskip("pyarrow", reason="pyarrow is not installed")

from nncore import cli, files, output
from nncore.cli import columns, fitting, stored
from nncore.sklearn import TabularClassifier, TabularRegressor

ROWS = 60


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fits of moments, in a folder of their own."""

    def made(task: str, options: argparse.Namespace) -> Any:
        return stored.TASKS[task](random_state=options.seed, n_jobs=options.threads, ensemble=2, epochs=3)

    monkeypatch.setattr(fitting, "made", made)
    monkeypatch.chdir(tmp_path)


def frame() -> Any:
    """Columns of every kind, a class and a number that follow from them."""
    rng = np.random.default_rng(0)
    size, town = rng.normal(size=ROWS).round(3), rng.integers(0, 3, ROWS)
    return pd.DataFrame(
        {
            "row": np.arange(1, ROWS + 1),
            "id": [f"{i:04d}" for i in range(ROWS)],
            "size": np.where(np.arange(ROWS) % 9 == 4, np.nan, size),
            "town": np.array(["Bonn", "Oslo", "Rome"], object)[town],
            "old": rng.random(ROWS) < 0.5,
            "day": np.datetime64("2024-01-01") + rng.integers(0, 90, ROWS).astype("m8[D]"),
            "same": 7,
            "label": np.where(size + town > 1, "high", "low"),
            "price": (10 * size + town).round(2),
        }
    )


def run(*words: str) -> None:
    assert cli.main(list(words)) == 0


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The line on stderr, where the command must fail."""
    capsys.readouterr()
    assert cli.main(list(words)) == 1
    err = capsys.readouterr().err
    assert err.startswith("nncore: ") and err.count("\n") == 1, err
    return err.removeprefix("nncore: ").removesuffix("\n")


# -- fit and predict ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_a_classification_is_guessed_fitted_and_predicted(suffix: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = frame()
    path = f"table.{suffix}"
    table.to_parquet(path) if suffix == "parquet" else table.to_csv(path, index=False)
    run("fit", path, "--target", "label", "--drop", "price")
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line.split(maxsplit=2) for line in out.splitlines()]
    assert lines[0] == [f"table.{suffix}:", "60", "rows"]
    low, high = table["size"].min(), table["size"].max()
    for words in (
        ["size", "number", f"{low:.6g} to {high:.6g}; 7 missing"],
        ["day", "date", f"{table['day'].min():%Y-%m-%d} to {table['day'].max():%Y-%m-%d}"],
        ["id", "-", "left out: a text of its own in nearly every row"],
        ["same", "-", "left out: the same in all rows"],
        ["row", "-", "left out: it numbers the rows"],
        ["Fitting", "48", "rows; 12 are held out for the score"],
        ["Fitting", "all", "60 rows"],
        ["Written", "to", "model.safetensors"],
    ):
        assert words in lines
    assert "  town  text     3 values: " in out and "  old   boolean  2 values: " in out
    n_high = int((table["label"] == "high").sum())
    assert f"target label: classification, 2 classes: {'high' if n_high > 30 else 'low'} (" in out

    X = table[["size", "town", "old", "day"]].assign(old=table["old"].map({True: "true", False: "false"}))
    direct = TabularClassifier(random_state=0, ensemble=2, epochs=3).fit(X, table["label"].to_numpy(object))
    run("predict", "model.safetensors", path, "--probabilities", "--keep", "id", "town", "-o", "out.csv")
    assert capsys.readouterr() == ("", "")
    made = pd.read_csv("out.csv", dtype={"id": str})
    assert list(made) == ["id", "town", "label", "probability_high", "probability_low"]
    assert made["id"].tolist() == table["id"].tolist() and made["town"].tolist() == table["town"].tolist()
    assert made["label"].tolist() == direct.predict(X).tolist()
    np.testing.assert_allclose(made[["probability_high", "probability_low"]], direct.predict_proba(X), 1e-6)


def test_a_regression_is_guessed_fitted_and_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    table = frame()
    table.to_parquet("table.parquet")
    run("fit", "table.parquet", "--target", "price", "--drop", "id", "label", "same", "--seed", "5", "-o", "m")
    out = capsys.readouterr().out
    assert f"target price: regression, {table['price'].min():.6g} to {table['price'].max():.6g}\n" in out
    assert "\nRMSE  " in out and "\nMAE  " in out
    X = table[["size", "town", "old", "day"]].assign(old=table["old"].map({True: "true", False: "false"}))
    direct = TabularRegressor(random_state=5, ensemble=2, epochs=3).fit(X, table["price"])
    np.testing.assert_array_equal(TabularRegressor.load("m").predict(X), direct.predict(X))
    run("predict", "m", "table.parquet", "-o", "out.parquet")
    assert pd.read_parquet("out.parquet")["price"].tolist() == direct.predict(X).astype(np.float32).tolist()
    table.sample(1, random_state=0).to_csv("one.csv", index=False)  # of texts, and of one row
    run("predict", "m", "one.csv")
    head, value = capsys.readouterr().out.splitlines()
    at = table.sample(1, random_state=0).index
    assert head == "price" and float(value) == pytest.approx(direct.predict(X)[at].item(), rel=1e-6)


def test_the_order_is_that_of_the_rows_whatever_their_index(capsys: pytest.CaptureFixture[str]) -> None:
    table = frame()
    table.to_csv("table.csv", index=False)
    run("fit", "table.csv", "--target", "price", "--quiet")
    run("predict", "model.safetensors", "table.csv", "-o", "whole.csv")
    turned = table.set_axis(range(5, 5 + ROWS)).iloc[::-1]
    turned.to_parquet("turned.parquet")
    turned.set_index("id").to_parquet("named.parquet")
    expected = pd.read_csv("whole.csv")["price"].tolist()[::-1]
    for path in ("turned.parquet", "named.parquet"):
        run("predict", "model.safetensors", path, "--keep", "id", "-o", "out.csv")
        made = pd.read_csv("out.csv", dtype={"id": str})
        assert made["id"].tolist() == turned["id"].tolist() and made["price"].tolist() == expected


def test_quiet_prints_the_score_alone(capsys: pytest.CaptureFixture[str]) -> None:
    frame().to_csv("table.csv", index=False)
    run("fit", "table.csv", "--target", "price", "--quiet")
    out, err = capsys.readouterr()
    assert out.startswith("RMSE ") and out.count("(baseline ") == 2 and out.count("\n") == 1 and err == ""
    run("fit", "table.csv", "--target", "price", "--quiet", "--held-out", "0")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_has_a_bar_for_all_networks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    frame().to_csv("table.csv", index=False)
    monkeypatch.setattr(output, "is_terminal", lambda stream: True)
    run("fit", "table.csv", "--target", "price")
    out = capsys.readouterr().out
    held_out, whole = re.findall(r"^Fitting .*\n(.*)\n", out, re.M)
    for bars in (held_out, whole):
        shares = [int(share) for share in re.findall(r"(\d+)%\|", bars)]
        assert shares == sorted(shares) and shares[-1] == 100 and bars.split("\r")[-1].rstrip().endswith("s")
    assert out.endswith("\nWritten to model.safetensors\n")


def test_rows_without_a_target_are_left_out_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    table = frame()
    table.loc[[3, 30, 59], "price"] = np.nan
    table.to_csv("table.csv", index=False)
    run("fit", "table.csv", "--target", "price")
    out = capsys.readouterr().out
    assert out.startswith("table.csv: 57 rows (3 without price are left out)\n")
    assert "\nFitting all 57 rows\n" in out


def test_question_marks_are_missing_values(capsys: pytest.CaptureFixture[str]) -> None:
    """As those of any other mark, where a model is fitted and where it predicts."""
    table = frame()
    table.loc[0, ["size", "town"]] = np.nan
    table.to_csv("empty.csv", index=False)
    table.to_csv("marked.csv", index=False, na_rep="?")
    for name in ("empty", "marked"):
        run("fit", f"{name}.csv", "--target", "price", "-o", f"{name}.safetensors")
        said = capsys.readouterr().out
        assert re.search(r"size +number .*; 8 missing\n", said)
        assert re.search(r"town +text +3 values: .*; 1 missing\n", said)
        run("predict", "empty.safetensors", f"{name}.csv", "-o", f"{name}.out")
    assert Path("marked.out").read_text() == Path("empty.out").read_text()
    assert Path("marked.safetensors").read_bytes() == Path("empty.safetensors").read_bytes()


def test_other_separators_and_marks_of_encodings(capsys: pytest.CaptureFixture[str]) -> None:
    for separator in ";\t|":
        frame().to_csv("table.csv", index=False, sep=separator, encoding="utf-8-sig")
        run("fit", "table.csv", "--target", "price", "--drop", "id", "--quiet", "--held-out", "0")


def test_unseen_values_are_counted_and_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    table = frame()
    table.to_csv("table.csv", index=False)
    run("fit", "table.csv", "--target", "price", "--quiet")
    capsys.readouterr()
    table = table.drop(columns=["price", "same"])
    table.loc[[0, 1, 2], "town"] = ["Lima", "Lima", "Kyiv"]
    table.loc[5, "town"] = None
    table.to_csv("new.csv", index=False)
    run("predict", "model.safetensors", "new.csv")
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 1 + ROWS
    assert err == (
        "nncore: warning: new.csv: column 'town': 3 of 60 rows have values that fit has not seen: 'Lima' (2), "
        "'Kyiv' (1); taken as unknown\n"
    )


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    frame().iloc[:20].to_csv("table.csv", index=False)
    command = [sys.executable, "-P", "-m", "nncore"]

    def called(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300)

    fit = called("fit", "table.csv", "--target", "label", "--threads", "1")
    assert (fit.returncode, fit.stderr) == (0, "") and "\naccuracy " in fit.stdout
    made = called("predict", "model.safetensors", "table.csv")
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout.startswith("label\n") and len(made.stdout.splitlines()) == 21
    wrong = called("predict", "table.csv", "model.safetensors")
    assert wrong.returncode == 1 and wrong.stdout == ""
    assert wrong.stderr.startswith("nncore: table.csv: expected a safetensors file") and wrong.stderr.count("\n") == 1


def test_what_readme_shows(tmp_path: Path) -> None:
    """Its commands, one after another; numbers with a point round differently by instruction set."""
    readme = Path(__file__).parents[2] / "README.md"
    [block] = re.findall(r"^```console\n(.*?)^```$", readme.read_text(), re.M | re.S)
    commands = re.findall(r"^\$ (.*(?:\n> .*)*)\n", block, re.M)
    assert len(commands) == block.count("$ ") > 2
    found = ""
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for command in commands:
        done = subprocess.run(
            command.replace("\n> ", "\n"),
            shell=True,
            env=os.environ | path,
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        found += f"$ {command}\n{done.stdout}{done.stderr}"
    shown, found = (re.sub(r" *\d+\.\d+", " #", text) for text in (block, found))
    assert found == shown


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "t.csv: expected a header and rows, got an empty file"),
        ("a,y\n", "t.csv: expected rows, got a header alone"),
        ("a,y\n1,2\n", "t.csv: expected at least 10 rows with a value of 'y', got 1"),
        ("a,y\n" + "1,\n" * 20, "t.csv: expected at least 10 rows with a value of 'y', got 0"),
        ("a,y\n" + "1,8\n2,8\n" * 9, "t.csv: column 'y': expected a target that varies, got 8 in all 18 rows"),
        ("a,x\n1,2\n", "--target: expected a column of t.csv, got none named 'y'. It has: a, x"),
        ("a,Y\n1,2\n", "--target: expected a column of t.csv, got none named 'y'. Did you mean 'Y'?"),
        ("a,yy\n1,2\n", "--target: expected a column of t.csv, got none named 'y'. Did you mean 'yy'?"),
        ("a,y\n1,2\n3\n4,5,6\n", "t.csv: expected a table in CSV: "),
        ("a,y\n" + "1,2\n2,3\n" * 5 + "inf,2\n", "t.csv: column 'a': expected finite numbers, got 'inf' in row 11"),
        ("y\n" + "1\n2\n" * 9, "t.csv: expected a column to learn from beside 'y', got none"),
        ("a,y\n" + "1,2\n1,3\n" * 9, "t.csv: expected a column to learn from beside 'y', got none; 'a' is left out: "),
        ("a,y\n" + "".join(f"{i % 4},t{i}\n" for i in range(20)), "t.csv: column 'y': expected classes that several"),
        ("a,y\n" + "".join(f"{i % 4},t{i % 11}\n" for i in range(20)),
         "t.csv: column 'y': expected classes that several rows share, got 11 values in 20 rows"),
        ("a,y\n" + "1,2020-01-01\n2,2021-01-01\n" * 9, "t.csv: column 'y': expected a target of numbers or classes"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_fitted(text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text(text)
    line = refused(capsys, "fit", "t.csv", "--target", "y")
    assert line == message or (len(message) > 25 and line.startswith(message))
    assert not Path("model.safetensors").exists()


def test_tables_from_pipes(capsys: pytest.CaptureFixture[str]) -> None:
    """What can be read once only."""
    run("fit", sent(frame()), "--target", "price", "--quiet", "--held-out", "0")
    frame().to_csv("table.csv", index=False)
    run("predict", "model.safetensors", "table.csv")
    expected = capsys.readouterr().out
    run("predict", "model.safetensors", sent(frame()))
    assert capsys.readouterr().out == expected


def sent(table: Any) -> str:
    """The path of a pipe from which a small table may be read."""
    reader, writer = os.pipe()
    with open(writer, "wb") as file:
        file.write(table.to_csv(index=False).encode())
    return f"/dev/fd/{reader}"


def test_options_that_do_not_fit_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    frame().to_csv("table.csv", index=False)
    fit = ["fit", "table.csv", "--target"]
    assert "did you mean 'town'" in refused(capsys, *fit, "price", "--drop", "id", "toun").lower()
    assert refused(capsys, *fit, "price", "--drop", "price").startswith(
        "--drop: expected columns other than the target"
    )
    assert refused(capsys, *fit, "label", "--task", "regression").startswith(
        "table.csv: column 'label': expected finite numbers, got '"
    )
    assert refused(capsys, *fit, "price", "-o", "table.csv").startswith("--output: expected a file of its own")
    assert "No such file" in refused(capsys, "fit", "none.csv", "--target", "price")
    Path("bytes.csv").write_bytes(b"a,b\n\xe9,1\n")
    assert refused(capsys, "fit", "bytes.csv", "--target", "b") == (
        "bytes.csv: expected text in UTF-8, got the byte 0xe9; convert it (iconv)"
    )
    Path("table.parquet").write_text("a,b\n")
    assert refused(capsys, "fit", "table.parquet", "--target", "b").startswith(
        "table.parquet: expected a table in Parquet: "
    )


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["--held-out", "1"], "[0, 1)"),
        (["--held-out", "x"], "[0, 1)"),
        (["--task", "rank"], "regression"),
        ([], "--tar"),
    ],
)
def test_options_that_fit_no_table(words: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["fit", "t.csv", *(["--target", "y", *words] if words else [])])
    assert stop.value.code == 2 and word in capsys.readouterr().err


def test_tables_that_cannot_be_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    table = frame()
    table.to_csv("table.csv", index=False)
    run("fit", "table.csv", "--target", "price", "--drop", "label", "--quiet", "-o", "m.safetensors")
    predict = ["predict", "m.safetensors"]
    table.rename(columns={"town": "Town"}).drop(columns="day").to_csv("new.csv", index=False)
    assert refused(capsys, *predict, "new.csv") == (
        "new.csv: expected the columns of fit, got none named 'town', 'day'. Did you mean 'Town'?"
    )
    table.astype({"size": object}).replace({"size": {table["size"][2]: "big"}}).to_csv("new.csv", index=False)
    assert refused(capsys, *predict, "new.csv") == "new.csv: column 'size': expected finite numbers, got 'big' in row 3"
    table.assign(day="soon").to_csv("new.csv", index=False)
    assert "column 'day': expected dates (ISO 8601), got 'soon' in row 1" in refused(capsys, *predict, "new.csv")
    Path("new.csv").write_text("")
    assert refused(capsys, *predict, "new.csv") == "new.csv: expected a header and rows, got an empty file"
    assert refused(capsys, *predict, "table.csv", "--probabilities").startswith(
        "--probabilities: expected a model of classes"
    )
    assert "did you mean 'town'" in refused(capsys, *predict, "table.csv", "--keep", "toun").lower()
    assert refused(capsys, *predict, "table.csv", "--keep", "price").startswith("--keep: expected columns")
    for taken in ("table.csv", "m.safetensors"):
        assert "which is read" in refused(capsys, *predict, "table.csv", "-o", taken)
    with pytest.raises(SystemExit):
        cli.main([*predict, "table.csv", "-o", "out.csv.gz"])


def test_files_that_are_no_models(capsys: pytest.CaptureFixture[str]) -> None:
    table = frame()
    table.to_csv("table.csv", index=False)
    fitted = TabularRegressor(ensemble=1, epochs=1).fit(table[["size"]], table["price"])
    fitted.save("api.safetensors")
    line = refused(capsys, "predict", "api.safetensors", "table.csv")
    assert line == "api.safetensors: expected a model that `nncore fit` wrote, got another file"
    stored.save(Path("m.safetensors"), fitted, "regression", "price", [columns.Column("size", "number")])
    run("predict", "m.safetensors", "table.csv")
    tensors, document = files.read("m.safetensors")
    good = document["table"]
    for bad in (
        {"task": "rank"}, {"task": []}, {"target": 3}, {"kinds": {}}, {"kinds": []}, {"kinds": ["eval"]},
        {"kinds": [["number"]]}, {"kinds": ["number", "number"]},
    ):  # fmt: skip
        files.write("m.safetensors", tensors, document | {"table": good | bad})
        line = refused(capsys, "predict", "m.safetensors", "table.csv")
        assert re.match(r"m.safetensors: expected (a task, a target and|the) kinds of .*; fit it again$", line)
    files.write("m.safetensors", tensors, document | {"table": good | {"task": "classification"}})
    assert "expected a TabularClassifier" in refused(capsys, "predict", "m.safetensors", "table.csv")
    files.write("m.safetensors", tensors, document | {"table": good | {"version": 2}})
    assert "expected a model that `nncore fit` wrote" in refused(capsys, "predict", "m.safetensors", "table.csv")
    data = Path("api.safetensors").read_bytes()
    Path("m.safetensors").write_bytes(data[:-5])
    assert refused(capsys, "predict", "m.safetensors", "table.csv").startswith("m.safetensors: expected ")
