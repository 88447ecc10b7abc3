"""The process's settings: instruction set, precisions of products, threads, seed."""

from __future__ import annotations

import math
import os
import platform
import re
import secrets
from pathlib import Path, PurePosixPath

import numpy as np

from nncore._kernels import table, threads
from nncore._version import ARITHMETIC, __version__
from nncore.arguments import check_whole
from nncore.dtypes import dtype_name
from nncore.output import say


def chosen_isa() -> str:
    """The instruction set that `NNCORE_ISA` asks for, else the strongest that is worth it here."""
    wanted = os.environ.get("NNCORE_ISA", "")
    if not wanted:
        return str(table.strongest())
    if wanted not in table.available():  # looks no further than that one
        known = ", ".join(available_isas())
        raise ValueError(f"NNCORE_ISA: expected one that this build and CPU have, got {wanted!r}. Available: {known}")
    return wanted


def available_isas() -> list[str]:
    """Names of the instruction sets that this build holds and this CPU runs, weakest first.

    Where the CPU has AMX, this asks the system to let the process use it; with a weaker `NNCORE_ISA` nothing else does.
    """
    return list(table.available())


_isa = chosen_isa()
_tables = {dtype: table.Table(_isa, dtype) for dtype in ("float32", "float64")}
_threads: int | None = None  # None: not looked at yet
_seed: tuple[int, int] | None = None  # what was set, and how many were drawn from it


def isa() -> str:
    """Name of the instruction set in use; chosen once, at import; the variable ``NNCORE_ISA`` chooses another."""
    return _isa


def kernels(dtype: str) -> table.Table:
    """The table of kernels in use for "float32" or "float64"."""
    return _tables[dtype]


def matmul_precisions(dtype: str = "float32") -> dict[str, str]:
    """What products of each precision multiply here.

    ============  ==========================================================  ============
    precision     arithmetic where the CPU has it                             error
    ============  ==========================================================  ============
    ``highest``   multiply-adds of the dtype                                  1e-7 to 5e-7
    ``high``      "split bfloat16": operands of 16 bits, three products; AMX  4.4e-6
    ``medium``    "bfloat16": operands of 8 bits; AVX512-BF16 or AMX          2.3e-3
    ============  ==========================================================  ============

    The error is that of a float32 product of normal random matrices, root mean square relative to that of the
    result, for K from 32 to 4096. An element's error is never above Σ |a b| times 2⁻⁷ (medium) or 3 2⁻¹⁶ (high), for
    operands from 1e-35 to 3.38e38, plus that of the sums.

    Elsewhere, in float64 models, and for small products A (M, K) B (K, N), a precision is computed as the next more
    accurate one of them. A product is small

    - if K < 32 or N < 16,
    - in X W and dY Wᵀ of a layer, whatever the batch, also if, with AMX, K < 128 or K N < 8192, or at "high" N < 48 or
      K N < 16,384,
    - in Xᵀ dY, the gradient of a layer's weights (M inputs, a batch of K, N outputs), and in `matmul`, also if M < 16,
      with AMX also if M K N < 2**18, or at "high" M < 64, N < 64, 32 < K < 64 or M K N < 3 * 2**19,
    - in convolutions (K: places of a window times channels, N: filters) with AMX also if N < 32 or K N < 4096, or at
      "high" K N < 8192, where windows are single places or K is odd; and as Xᵀ dY in the gradient of their weights,
      where a group has fewer than 8 channels, or windows are single places or further apart than one.

    Sums are float32 at all of them. bfloat16 arithmetic takes values below 1.2e-38 as 0, and at "medium" rounds
    3.397e38 and more to infinity; an infinity in an operand makes the results that depend on it infinite or NaN,
    and other elements of the gradient of a convolution's weights.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Of the model.

    Returns
    -------
    dict
        ``{"highest": "float32", "high": "float32", "medium": "bfloat16"}`` with the level avx512_bf16, say.
    """
    return {precision: kernels(dtype_name(dtype)).arithmetic(precision) for precision in table.PRECISIONS}


def arithmetic(dtype: str, precision: str) -> dict[str, str | int]:
    """What the bits of a fit depend on besides model, seed and data; not the number of threads.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    precision : {"highest", "high", "medium"}
    """
    return {
        "NNCORE_ISA": isa(),
        "machine": platform.machine(),
        "products": kernels(dtype).arithmetic(precision),
        "arithmetic": ARITHMETIC,
    }


def quota(root: Path = Path("/")) -> float:
    """CPUs that this process's control groups let it use; infinity where nothing limits it.

    The least of all quotas from the process's own group up to the top, for a group may use no more than those around
    it: in the hierarchy of the cpu controller (version 1) and in the unified one (version 2).

    Parameters
    ----------
    root : Path
        What ``proc`` and the mounts are below.
    """
    try:
        return min(map(quota_of, control_groups(root)), default=math.inf)
    except (OSError, ValueError):
        return math.inf


def control_groups(root: Path) -> list[Path]:
    """Folders of the groups that may limit this process's CPUs."""
    paths: dict[str, str] = {}  # of the group, by type of the mount
    folders: list[Path] = []
    for line in (root / "proc/self/cgroup").read_text().splitlines():  # 4:cpu,cpuacct:/path, or 0::/path
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            paths["cgroup" if controllers else "cgroup2"] = path
    for line in (root / "proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")  # 31 23 0:27 /top /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw
        top, place = (unescaped(name) for name in before.split()[3:5])
        kind, *_, options = after.split()
        if kind not in paths or (kind == "cgroup" and "cpu" not in options.split(",")):
            continue
        folders.append(root / place.lstrip("/"))
        # The mount shows the hierarchy from `top` on. A container's may not hold the path that its process has on the
        # host: then its top is the nearest group that can be seen.
        group = PurePosixPath(paths[kind])
        if group.is_relative_to(top) and ".." not in group.parts:
            for name in group.relative_to(top).parts:
                folders.append(folders[-1] / name)
    return folders


def unescaped(name: str) -> str:
    """A path of mountinfo, which writes white space as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), name)


def quota_of(folder: Path) -> float:
    """CPUs that a control group of either version lets its processes use."""
    try:
        limit, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            limit, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        except OSError:
            return math.inf
    limited = limit.isdigit() and period.isdigit() and int(limit) > 0 < int(period)  # not "max", nor -1
    return int(limit) / int(period) if limited else math.inf


def default_threads() -> int:
    """CPUs of the process's affinity, its control group's quota or OMP_NUM_THREADS, whichever is least; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [float(affinity), quota()]
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdigit() and int(first) > 0:
        limits.append(float(first))
    return max(1, int(min(limits)))


def check_threads(n: object, argument: str) -> int:
    """`n` as a number of threads."""
    return check_whole(n, argument, "a whole number from 1 to 1024", 1, 1024)


def get_num_threads() -> int:
    """Most threads that a fit or predict uses, for models that set no `n_threads` of their own.

    ``threadpoolctl.threadpool_limits`` and others that call ``omp_set_num_threads`` limit the thread that calls them
    beyond that; and where the system cannot make so many threads, there are fewer, after a RuntimeWarning.
    """
    global _threads
    if _threads is None:
        _threads = default_threads()
    return _threads


def set_num_threads(n: int | None) -> None:
    """Set the most threads that a fit or predict uses.

    Parameters
    ----------
    n : int or None
        None looks at the machine again for the default: the least of the process's CPU affinity, its control
        group's CPU quota, and ``OMP_NUM_THREADS`` if set. Results have the same bits for any number.
    """
    global _threads
    _threads = None if n is None else check_threads(n, "n")


def check_seed(seed: object, argument: str) -> int:
    """`seed` as an int of 64 bits."""
    return check_whole(seed, argument, "a whole number from 0 to 2**64 - 1", 0, 2**64 - 1)


def set_random_seed(seed: int) -> None:
    """Make models built from now on with ``seed=None`` draw their seeds from `seed`, one after another."""
    global _seed
    _seed = check_seed(seed, "seed"), 0


def derived_seed(seed: int, number: int) -> int:
    """Seed `number` of those that follow from `seed`."""
    return int(np.random.Generator(np.random.Philox(key=np.array([seed, number], np.uint64))).integers(2**63))


def next_seed() -> int:
    """A seed for a model that was given none."""
    global _seed
    if _seed is None:
        return secrets.randbits(63)
    seed, drawn = _seed
    _seed = seed, drawn + 1
    return derived_seed(seed, drawn)


def config() -> dict[str, str]:
    """What `show_config` prints, by name."""
    return {
        "nncore": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "isa": f"{isa()} (available: {', '.join(available_isas())})",
        "products": ", ".join(f"{name} {arithmetic}" for name, arithmetic in matmul_precisions().items()),
        "threads": str(get_num_threads()),
        "openmp": threads.openmp_runtime(),
    }


def show_config() -> None:
    """Print versions, instruction set, threads and the OpenMP runtime in use."""
    for name, value in config().items():
        say(f"{name:>8}: {value}")
