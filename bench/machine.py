"""The machine: CPU, versions, threads, and the limits measured on the spot.

No numerical library is imported at the top, so that this module can come before any of them starts its threads.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import re
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import Barrier
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PACKAGES = ("numpy", "scikit-learn", "torch", "jax", "onnxruntime", "nncore-cpu")

PEAKS = ("fma_peak_gflops", "bf16_peak_gflops", "copy_gb_per_s")
PEAK_C = Path(__file__).with_name("peak.c")
AVX512_FLAGS = ["-mavx512f", "-mavx512bw", "-mfma"]
VECTOR_FLAGS = {  # of peak.c, by the strongest instruction set that nncore finds here; others: the compiler's baseline
    "avx2": ["-mavx2", "-mfma"],
    "avx512": AVX512_FLAGS,
    "avx512_bf16": [*AVX512_FLAGS, "-mavx512bf16"],
    "amx": [*AVX512_FLAGS, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"],
}


def environment(threads: int) -> dict[str, str]:
    """The variables that hold NumPy, PyTorch, scikit-learn and nncore to `threads` threads, if set before they load."""
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


@contextmanager
def cores(threads: int) -> Iterator[None]:
    """Hold this thread, and what it starts, to `threads` physical cores: JAX obeys nothing else."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before, separate = os.sched_getaffinity(0), separate_cores()
    if len(separate) < threads:
        raise SystemExit(f"--threads {threads}: expected at most {len(separate)}, the cores this process may use")
    os.sched_setaffinity(0, separate[:threads])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def separate_cores() -> list[int]:
    """The CPUs that this process may use, one per physical core."""
    seen, cores = set(), []
    for cpu in sorted(os.sched_getaffinity(0)):
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        core = siblings.read_text() if siblings.exists() else str(cpu)
        if core not in seen:
            seen.add(core)
            cores.append(cpu)
    return cores


def describe(threads: int) -> dict[str, Any]:
    """What a result depends on: the machine, the software and the limits."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "threads": threads,
        "isa": nncore_isa(),
        "versions": versions,
        "date": time.strftime("%Y-%m-%d"),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,  # of others, at the start
        "precisions": precisions(),
        **peaks(threads),
        "copy_gb_per_s": at_once(threads, copy_bandwidth),  # bytes read and written
    }


def at_its_best(about: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """`about` with the higher of both peaks, if both are of the same machine: a neighbour beside one only lowers it."""
    if any(about[key] != before[key] for key in ("cpu", "isa", "threads")):
        return about
    return about | {key: max(about[key], before[key]) for key in PEAKS if about[key] and before[key]}


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def name() -> str:
    """Of this machine and the instruction set in use, for files: intel-xeon-amx, amd-epyc-avx512-bf16."""
    return slug(cpu_model(), nncore_isa() or "")


def slug(cpu: str, isa: str) -> str:
    """Trade marks, clock rates and numbers of cores say nothing more."""
    words = re.sub(r"\((R|TM)\)|\b(\d+-Core|CPU|Processor)\b|@.*", " ", cpu)
    return "-".join(re.findall(r"[a-z0-9.]+", f"{words} {isa}".lower()))


def nncore_isa() -> str | None:
    try:
        import nncore

        return str(nncore.isa())
    except (ImportError, AttributeError):
        return None


def precisions() -> dict[str, str]:
    """What nncore computes products of float32 in at each level of `matmul_precision`, on this CPU."""
    try:
        import nncore
    except ImportError:
        return {}
    return nncore.matmul_precisions()


def same_as(computed: dict[str, str]) -> dict[str, str]:
    """The first level that computes as each level does: {"highest": "highest", "high": "highest", …}."""
    first = {how: level for level, how in reversed(computed.items())}
    return {level: first[how] for level, how in computed.items()}


def candidates() -> dict[str, str]:
    """Level by candidate's name, of the levels that have kernels of their own."""
    same = same_as(precisions() or {"highest": "float32"})
    return {f"nncore {level}": level for level in same if same[level] == level}


def compiled(source: Path, folder: str, *flags: str) -> Path | None:
    """A shared library of the C source; None without a C compiler."""
    library = Path(folder, source.stem + ".so")
    command = [os.environ.get("CC", "cc"), "-O3", "-ffp-contract=fast", "-shared", "-fPIC", *flags]
    try:
        subprocess.run([*command, str(source), "-o", str(library)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return library


@cache
def native() -> ctypes.CDLL | None:
    """peak.c, compiled; it stays loaded when its file goes. None without a C compiler."""
    import nncore

    flags = VECTOR_FLAGS.get(nncore.available_isas()[-1], [])
    with tempfile.TemporaryDirectory() as folder:
        library = compiled(PEAK_C, folder, "-fno-tree-loop-distribute-patterns", *flags)
        return ctypes.CDLL(str(library)) if library else None


def peaks(threads: int) -> dict[str, Any]:
    """GFLOP/s of all threads together in float32 and in bfloat16; None, with a note, where it cannot be measured."""
    c = native()
    if c is None:
        return {"fma_peak_gflops": None, "bf16_peak_gflops": None, "bf16_unit": "no C compiler to measure it with"}
    c.bf16_unit.restype = ctypes.c_char_p
    unit = c.bf16_unit().decode()
    return {
        "fma_peak_gflops": at_once(threads, lambda: peak(c.fma_run, c.fma_flops)),
        "bf16_peak_gflops": at_once(threads, lambda: peak(c.bf16_run, c.bf16_flops)) if unit else None,
        "bf16_unit": unit or "this CPU has neither AMX-BF16 nor AVX512-BF16",
    }


def peak(run: Any, flops: Any) -> float:
    """GFLOP/s of one core, reached by a quarter of the runs, so that no single moment of the clock decides.

    A neighbour on the core's other hyperthread may halve it: no run is probed, but the best of all sections counts.
    `run` releases the GIL.
    """
    run.argtypes, run.restype = (ctypes.c_long, ctypes.c_float, ctypes.c_float), ctypes.c_float
    flops.restype = ctypes.c_double
    passes, times = 10_000, []  # 20 to 40 µs of FMA, 0.3 ms of AMX, so that most runs are not interrupted
    for _ in range(4000):
        start = time.perf_counter()
        run(passes, 0.5, 1.0)
        times.append(time.perf_counter() - start)
    return float(flops()) * passes / statistics.quantiles(times, n=4)[0] / 1e9


def multiplier(flops: float) -> Callable[[], object]:
    """A loop of nothing but so many FLOPs of float32 FMA; an ImportError where there is no C compiler."""
    c = native()
    if c is None:
        raise ImportError("no C compiler for a loop of FMA")
    c.fma_flops.restype, c.fma_run.argtypes = ctypes.c_double, (ctypes.c_long, ctypes.c_float, ctypes.c_float)
    passes = int(flops / c.fma_flops())
    return lambda c=c: c.fma_run(passes, 0.5, 1.0)


def at_once(threads: int, rate: Callable[[], float]) -> float:
    """The sum of the rates that so many threads reach side by side."""
    meet = Barrier(threads)

    def one(_: int) -> float:
        meet.wait()
        return rate()

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(one, range(threads)))


def copier(size: int) -> Callable[[], object]:
    """A plain loop that copies `size` bytes of float32; NumPy's where there is no C compiler."""
    import numpy as np

    a, c = np.ones(size // 4, np.float32), native()
    b = np.ones_like(a)
    if c is None:
        return lambda: np.copyto(b, a)
    c.copy_run.argtypes, c.copy_run.restype = (ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p), None
    return lambda: c.copy_run(a.size, b.ctypes.data, a.ctypes.data)


def reader(size: int) -> Callable[[], object]:
    """A plain loop that reads `size` bytes of float32; an ImportError where there is no C compiler."""
    import numpy as np

    a, c = np.ones(size // 4, np.float32), native()
    if c is None:
        raise ImportError("no C compiler for a loop that reads")
    c.read_run.argtypes, c.read_run.restype = (ctypes.c_long, ctypes.c_void_p), ctypes.c_float
    n, data = a.size, a.ctypes.data
    return lambda a=a: c.read_run(n, data)


def copy_bandwidth() -> float:
    """GB/s, read and written, of copying an array much larger than the caches."""
    size, best = 1 << 27, float("inf")
    copy = copier(size)
    for _ in range(8):
        start = time.perf_counter()
        copy()
        best = min(best, time.perf_counter() - start)
    return 2 * size / best / 1e9
