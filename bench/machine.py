"""The machine: CPU, versions, threads, and the limits measured on the spot.

No numerical library is imported at the top, so that this module can come before any of them starts its threads.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PACKAGES = ("numpy", "scikit-learn", "torch", "jax", "onnxruntime", "nncore-cpu")

# Twelve independent chains hide the latency of FMA on every x86 and fit 16 registers.
PEAK_C = """
#if defined(__AVX512F__)
enum { BYTES = 64 };
#elif defined(__AVX__)
enum { BYTES = 32 };
#else
enum { BYTES = 16 };
#endif
typedef float vf __attribute__((vector_size(BYTES)));
enum { CHAINS = 12 };
double flops_per_pass(void) { return 2.0 * CHAINS * BYTES / 4; }
float run(long passes, float a, float b) {
    vf c[CHAINS], va = a - (vf){0}, vb = b - (vf){0}, sum = {0};
    for (int k = 0; k < CHAINS; k++) c[k] = (float)k - (vf){0}; /* unlike, or the compiler merges them */
    for (long i = 0; i < passes; i++)
        for (int k = 0; k < CHAINS; k++) c[k] = c[k] * va + vb;
    for (int k = 0; k < CHAINS; k++) sum += c[k];
    return sum[0];
}
"""


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
        "fma_peak_gflops": fma_peak(),  # float32, one core
        "copy_gb_per_s": copy_bandwidth(),  # bytes read and written, one thread
    }


def cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def nncore_isa() -> str | None:
    try:
        import nncore

        return str(nncore.isa())
    except (ImportError, AttributeError):
        return None


def fma_peak() -> float | None:
    """GFLOP/s of one core in a loop of nothing but FMA, compiled here; None without a C compiler."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "peak.c"), Path(folder, "peak.so")
        source.write_text(PEAK_C)
        command = [os.environ.get("CC", "cc"), "-O3", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC"]
        try:
            subprocess.run([*command, str(source), "-o", str(library)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        c = ctypes.CDLL(str(library))
    c.run.argtypes, c.run.restype = (ctypes.c_long, ctypes.c_float, ctypes.c_float), ctypes.c_float
    c.flops_per_pass.restype = ctypes.c_double
    passes, best = 100_000, float("inf")  # under a millisecond, so that some of the runs are not interrupted
    for _ in range(200):
        start = time.perf_counter()
        c.run(passes, 0.5, 1.0)
        best = min(best, time.perf_counter() - start)
    return float(c.flops_per_pass()) * passes / best / 1e9


def copy_bandwidth() -> float:
    """GB/s, read and written, of copying an array much larger than the caches."""
    import numpy as np

    a, best = np.ones(1 << 25, np.float32), float("inf")
    b = np.empty_like(a)
    for _ in range(8):
        start = time.perf_counter()
        np.copyto(b, a)
        best = min(best, time.perf_counter() - start)
    return 2 * a.nbytes / best / 1e9
