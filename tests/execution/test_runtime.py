"""The process's settings: threads, instruction set, seed; and what importing leaves alone."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore import runtime
from nncore._kernels import table


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=os.environ | environment
    )


@pytest.fixture(autouse=True)
def settings_are_put_back() -> Any:
    threads, seed = runtime._threads, runtime._seed
    yield
    runtime._threads, runtime._seed = threads, seed


# ---- instruction sets ------------------------------------------------------------------------------------------------


def test_instruction_sets() -> None:
    available = nn.available_isas()
    assert available[0] == "portable" and nn.isa() in available
    wanted = os.environ.get("NNCORE_ISA")
    assert nn.isa() == (wanted or available[-1])


@pytest.mark.parametrize("isa", nn.available_isas())
def test_the_variable_chooses(isa: str) -> None:
    run = python("import nncore; print(nncore.isa(), *nncore.available_isas())", NNCORE_ISA=isa)
    assert run.stdout.split() == [isa, *nn.available_isas()], run.stderr


@pytest.mark.parametrize("isa", ["sse9", "AVX2", " ", "portable,avx2", "0"])
def test_an_unknown_one_is_refused_at_import(isa: str) -> None:
    run = python("import nncore", NNCORE_ISA=isa)
    known = ", ".join(nn.available_isas())
    assert run.returncode == 1 and run.stderr.splitlines()[-1] == (
        f"ValueError: NNCORE_ISA: expected one that this build and CPU have, got {isa!r}. Available: {known}"
    )


def test_an_empty_one_is_none() -> None:
    assert python("import nncore; print(nncore.isa())", NNCORE_ISA="").stdout.strip() == table.strongest()


@pytest.mark.parametrize("last", nn.available_isas())
def test_the_strongest_is_the_last_that_is_no_slower(last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPUs with tiles, which the system may refuse, multiply bfloat16 in vectors at half of float32's rate."""
    levels = nn.available_isas()
    monkeypatch.setattr(table, "available", lambda: iter(levels[: levels.index(last) + 1]))
    cpu = Path("/proc/cpuinfo")
    tiles = cpu.exists() and "amx_bf16" in cpu.read_text()
    assert table.strongest() == ("avx512" if last == "avx512_bf16" and tiles else last)


def test_a_level_is_looked_at_when_it_is_reached() -> None:
    levels = table.available()
    assert [next(levels), *levels] == nn.available_isas()
    with pytest.raises(ValueError, match=r"isa: expected one of \['portable'.*\], got 'sse9'"):
        table.Table("sse9", "float32")


PERMITTED = """
import ctypes
def permitted():
    states = ctypes.c_uint64()
    ctypes.CDLL(None).syscall(158, 0x1022, ctypes.byref(states))  # arch_prctl(ARCH_GET_XCOMP_PERM)
    return states.value
before = permitted()
import nncore
nncore.Model([nncore.Input(40), nncore.Dense(40)]).predict([[0.0] * 40])
print(permitted() == before)
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="about tiles of x86-64")
@pytest.mark.parametrize("isa", [name for name in nn.available_isas() if name != "amx"])
def test_no_tiles_are_asked_for_without_need(isa: str) -> None:
    """This can fail on a CPU with AMX only."""
    run = python(PERMITTED, NNCORE_ISA=isa)
    assert run.stdout.strip() == "True", run.stderr


# ---- threads ---------------------------------------------------------------------------------------------------------


def test_number_of_threads() -> None:
    nn.set_num_threads(3)
    assert nn.get_num_threads() == 3 and nn.Model([nn.Dense(1)]).threads() == 3
    assert nn.Model([nn.Dense(1)], n_threads=2).threads() == 2
    nn.set_num_threads(np.int64(5))
    assert nn.get_num_threads() == 5 and type(nn.get_num_threads()) is int
    nn.set_num_threads(None)
    assert nn.get_num_threads() == runtime.default_threads() >= 1
    for bad in (0, -1, 1025, 2**63, 1.0, "2", True, [1]):
        with pytest.raises(ValueError, match="n: expected a whole number from 1 to 1024, got"):
            nn.set_num_threads(bad)  # type: ignore[arg-type]
    assert nn.get_num_threads() == runtime.default_threads()


@pytest.mark.parametrize(
    ("cpus", "quota", "variable", "expected"),
    [
        (8, np.inf, "", 8),
        (8, 2.75, "", 2),
        (8, 0.5, "", 1),
        (2, 6.0, "", 2),
        (8, np.inf, "3", 3),
        (8, np.inf, "4,2", 4),
        (8, np.inf, "0", 8),
        (8, np.inf, "many", 8),
        (8, np.inf, "-1", 8),
        (1, 1.0, "64", 1),
    ],
)
def test_default_threads(
    cpus: int, quota: float, variable: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cpus)), raising=False)
    monkeypatch.setattr(runtime, "quota", lambda: quota)
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert runtime.default_threads() == expected


MOUNT_V2 = "31 23 0:27 {top} {place} rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
MOUNTS_V1 = [
    "30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw",
    "32 30 0:28 {top} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
    "33 30 0:29 {top} {place} rw master:3 shared:11 - cgroup cgroup rw,cpu,cpuacct",
]


@pytest.mark.parametrize(
    ("own", "mounts", "files", "expected"),
    [
        # version 2: the least of the group's own and those around it
        ("0::/", [MOUNT_V2], {"cpu.max": "max 100000"}, np.inf),
        ("0::/", [MOUNT_V2], {"cpu.max": "150000 100000"}, 1.5),
        ("0::/a/b", [MOUNT_V2], {"a/cpu.max": "max 100000", "a/b/cpu.max": "250000 100000"}, 2.5),
        ("0::/a/b", [MOUNT_V2], {"a/cpu.max": "50000 100000", "a/b/cpu.max": "250000 100000"}, 0.5),
        ("0::/a/b", [MOUNT_V2], {"a/c/cpu.max": "50000 100000", "c/cpu.max": "50000 100000"}, np.inf),
        ("0::/a b:c", [MOUNT_V2], {"a b:c/cpu.max": "50000 100000"}, 0.5),
        # a container: a mount of a part of the hierarchy; a path of the host's; one outside of the namespace
        ("0::/pod/x/y", [MOUNT_V2.replace("{top}", "/pod/x")], {"y/cpu.max": "70000 100000"}, 0.7),
        ("0::/pod/x", [MOUNT_V2.replace("{top}", "/pod/x")], {"cpu.max": "70000 100000"}, 0.7),
        ("0::/pod/xy", [MOUNT_V2.replace("{top}", "/pod/x")], {"y/cpu.max": "9 100", "cpu.max": "70000 100000"}, 0.7),
        ("0::/pod/x", [MOUNT_V2], {"cpu.max": "70000 100000"}, 0.7),
        ("0::/../other", [MOUNT_V2], {"cpu.max": "70000 100000", "../other/cpu.max": "10000 100000"}, 0.7),
        # version 1
        ("4:cpu,cpuacct:/", MOUNTS_V1, {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, np.inf),
        ("4:cpu,cpuacct:/", MOUNTS_V1, {"cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "100000\n"}, 0.5),
        (
            "5:memory:/b\n4:cpu,cpuacct:/a\n0::/c", MOUNTS_V1,
            {
                "a/cpu.cfs_quota_us": "30000\n", "a/cpu.cfs_period_us": "10000\n",
                "cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n",
                "b/cpu.cfs_quota_us": "10\n", "b/cpu.cfs_period_us": "100\n",
            },
            3.0,
        ),
        ("4:cpuset:/a\n3:cpuacct:/a", MOUNTS_V1, {"a/cpu.cfs_quota_us": "1", "a/cpu.cfs_period_us": "2"}, np.inf),
        # both, and neither
        ("4:cpu:/a\n0::/a", [*MOUNTS_V1, MOUNT_V2], {"a/cpu.max": "200 100", "a/cpu.cfs_quota_us": "1"}, 2.0),
        ("0::/", [], {"cpu.max": "50000 100000"}, np.inf),
        ("", [MOUNT_V2], {"cpu.max": "50000 100000"}, np.inf),
        ("0::/", [MOUNT_V2], {"cpu.max": "rubbish"}, np.inf),
        ("0::/", [MOUNT_V2], {"cpu.max": "100 rubbish"}, np.inf),
        ("0::/", [MOUNT_V2], {"cpu.max": "100 0"}, np.inf),
        ("rubbish", [MOUNT_V2], {"cpu.max": "50000 100000"}, np.inf),
        ("0::/", ["rubbish"], {"cpu.max": "50000 100000"}, np.inf),
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["/sys/fs/cgroup", r"/mnt/the\040groups"])
def test_quota(own: str, mounts: list[str], files: dict[str, str], expected: float, place: str, tmp_path: Path) -> None:
    """A machine's files, below a folder: what its process may use."""
    info = "".join(mount.format(top="/", place=place) + "\n" for mount in mounts)
    folder = f"{place}/".replace(r"\040", " ")[1:]
    for name, text in {
        "proc/self/cgroup": own,
        "proc/self/mountinfo": info,
        **{folder + k: files[k] for k in files},
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert runtime.quota(tmp_path) == expected


def test_no_quota_where_the_system_tells_nothing(tmp_path: Path) -> None:
    assert runtime.quota(tmp_path) == np.inf


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot pin processes")
def test_affinity_is_respected() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    assert python(code + "import nncore; print(nncore.get_num_threads())").stdout.strip() == "1"


# ---- seeds -----------------------------------------------------------------------------------------------------------


def test_seeds() -> None:
    def seeds() -> list[int]:
        return [nn.Model([nn.Dense(1)]).seed for _ in range(4)]

    nn.set_random_seed(1)
    first = seeds()
    nn.set_random_seed(1)
    assert seeds() == first and len(set(first)) == 4
    nn.set_random_seed(2)
    assert not set(first) & set(seeds())
    assert all(0 <= s < 2**64 for s in first)
    nn.set_random_seed(2**64 - 1)
    assert len(set(seeds())) == 4
    for bad in (-1, 2**64, 0.5, "1", None, True):
        with pytest.raises(ValueError, match=r"seed: expected a whole number from 0 to 2\*\*64 - 1, got"):
            nn.set_random_seed(bad)  # type: ignore[arg-type]


def test_global_random_state_is_left_alone() -> None:
    import random

    np.random.seed(3)
    random.seed(3)
    nn.set_random_seed(7)
    model = nn.Model([nn.Dense(3), nn.Dropout(0.5)])
    model.compile("sgd", "mse")
    model.fit(np.ones((9, 2)), np.ones((9, 3)), verbose=0)
    drawn = np.random.rand(), random.random()
    np.random.seed(3)
    random.seed(3)
    assert drawn == (np.random.rand(), random.random())


# ---- what is shown, and what importing does --------------------------------------------------------------------------


def test_precisions() -> None:
    shown = nn.matmul_precisions()
    assert list(shown) == ["highest", "high", "medium"] and shown["highest"] == "float32"
    assert nn.matmul_precisions(np.float64) == dict.fromkeys(shown, "float64")
    with pytest.raises(ValueError, match='dtype: expected "float32" or "float64", got'):
        nn.matmul_precisions("int8")


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    nn.set_num_threads(2)
    nn.show_config()
    lines = dict(line.strip().split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["nncore"] == nn.__version__ and lines["numpy"] == np.__version__ and lines["threads"] == "2"
    assert lines["isa"] == f"{nn.isa()} (available: {', '.join(nn.available_isas())})"
    assert lines["openmp"] and lines["python"] == sys.version.split()[0]


def test_importing_is_light_and_changes_nothing() -> None:
    code = """
import os, signal, sys, warnings, threading
def state():
    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGSEGV)]
    return handlers, list(warnings.filters), dict(os.environ), threading.active_count(), sys.getrecursionlimit()
import numpy
before = state()
import nncore
assert state() == before
heavy = {"tqdm", "torch", "sklearn", "matplotlib", "pandas", "jax", "scipy", "multiprocessing"} & set(sys.modules)
assert not heavy, heavy
a = numpy.array([1e-310]) / 2
assert a[0] != 0  # no flush to zero
"""
    run = python(code)
    assert run.returncode == 0, run.stderr


def test_public_names() -> None:
    """The signatures that the design promises."""
    import inspect

    def names(f: Any) -> list[str]:
        return [n for n in inspect.signature(f).parameters if n != "self"]

    promised: dict[Any, str] = {
        nn.Model.compile: "optimizer loss loss_weights metrics weighted_metrics matmul_precision",
        nn.Model.fit: "x y batch_size epochs verbose callbacks validation_split validation_data shuffle class_weight "
        "sample_weight initial_epoch steps_per_epoch validation_steps validation_batch_size validation_freq",
        nn.Model.evaluate: "x y batch_size verbose sample_weight steps callbacks return_dict",
        nn.Model.predict: "x batch_size verbose",
        nn.Model.build: "input_shape",
        nn.Model.get_layer: "name",
        nn.Model.train_on_batch: "x y sample_weight",
        nn.Model.test_on_batch: "x y sample_weight",
        nn.Model.predict_on_batch: "x",
        nn.Model.save: "path",
        nn.Model.save_weights: "path",
        nn.Model.load_weights: "path",
        nn.load_model: "path custom_objects",
        nn.set_num_threads: "n",
        nn.Dense: "units activation use_bias kernel_initializer bias_initializer",
        nn.set_random_seed: "seed",
    }
    for function, expected in promised.items():
        assert names(function)[: len(expected.split())] == expected.split(), function
    defaults = {k: p.default for k, p in inspect.signature(nn.Model.fit).parameters.items()}
    assert (defaults["batch_size"], defaults["epochs"], defaults["verbose"], defaults["validation_split"]) == (
        32,
        1,
        "auto",
        0.0,
    )
    assert defaults["shuffle"] is True and defaults["initial_epoch"] == 0 and defaults["validation_freq"] == 1
    assert inspect.signature(nn.Model.compile).parameters["optimizer"].default == "rmsprop"
    for name in nn.__all__:
        assert getattr(nn, name).__doc__ or name == "__version__"
