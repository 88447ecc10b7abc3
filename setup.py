"""Build the compiled modules; everything else about the package stands in pyproject.toml.

Each nncore/_kernels/*.pyx becomes one module. Only `table` links the C library: src_c/core/*.c and, once per
element type and instruction set, src_c/isa/*.c, each compiled with flags of its own.

Switches, read from the environment
    NNCORE_NO_OPENMP=1               build without threads
    NNCORE_DEBUG=1                   asserts on, -O1 -g
    NNCORE_SANITIZE=address,undefined   or `thread`: -fsanitize=…; a finding ends the process
    NNCORE_HIGHEST_ISA=avx2          no level beyond, to build sooner
    NNCORE_EMULATE_AMX=1             for tests of the level "amx" on a CPU that has AVX-512 with bfloat16 but no tiles
"""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, ExecError, LinkError, PlatformError

# Instruction set: what only its own objects may be compiled with, on the machines that have it.
X86_64 = ("x86_64", "AMD64")
AVX512 = ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"]
ISAS: dict[str, tuple[list[str], tuple[str, ...] | None]] = {
    "portable": ([], None),
    "avx2": (["-mavx2", "-mfma"], X86_64),
    "avx512": (AVX512, X86_64),
    "avx512_bf16": ([*AVX512, "-mavx512bf16"], X86_64),
    "amx": ([*AVX512, "-mavx512bf16", "-mamx-tile", "-mamx-bf16"], X86_64),
}
REAL_BITS = (32, 64)

# Contraction to FMA needs a gnu dialect. Never -ffast-math (it alters the float environment of the whole process),
# -march=native (the wheel must run elsewhere) or LTO (it would carry one ISA's instructions into another's code).
C_FLAGS = ["-std=gnu11", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-fno-lto"]
C_FLAGS += ["-fvisibility=hidden", "-D_GNU_SOURCE"]  # sched_getcpu and its like in team.h
C_WARNINGS = ["-Wall", "-Wextra", "-Werror=implicit-function-declaration", "-Werror=incompatible-pointer-types"]
CYTHON_WARNINGS = ["-Wno-unused-function", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]

HEADERS = sorted(str(p) for pattern in ("*.h", "*.def") for p in Path("src_c").rglob(pattern))
TABLE = "nncore._kernels.table"


def switch(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


def target_machine() -> str:
    """What the kernels are built for: this machine, or the one that CPython's own switch for cross-builds names."""
    return os.environ.get("_PYTHON_HOST_PLATFORM", "").rpartition("-")[2] or platform.machine()


def levels() -> dict[str, tuple[list[str], tuple[str, ...] | None]]:
    names = list(ISAS)
    highest = os.environ.get("NNCORE_HIGHEST_ISA") or names[-1]
    if highest not in names:
        raise PlatformError(f"NNCORE_HIGHEST_ISA: expected one of {', '.join(names)}, got {highest!r}")
    return {name: ISAS[name] for name in names[: names.index(highest) + 1]}


def sanitize_flags() -> list[str]:
    sanitizers = os.environ.get("NNCORE_SANITIZE")
    # Python's own flags have -fwrapv, with which no signed sum overflows as far as a sanitizer sees.
    strict = ["-fno-sanitize-recover=all", "-fno-wrapv", "-fno-omit-frame-pointer", "-g"]
    return [f"-fsanitize={sanitizers}", *strict] if sanitizers else []


def mode_flags() -> list[str]:
    return [*(["-UNDEBUG", "-O1", "-g"] if switch("NNCORE_DEBUG") else ["-O3", "-g0"]), *sanitize_flags()]


def extensions() -> list[Extension]:
    """One module per .pyx; `table` holds the C library and hands its pointers to the others."""
    found = []
    for pyx in sorted(Path("nncore/_kernels").glob("*.pyx")):
        name = f"nncore._kernels.{pyx.stem}"
        plain = sorted(str(p) for p in Path("src_c/core").glob("*.c")) if name == TABLE else []
        isa = [f"src_c/isa/{isa}.c" for isa in ISAS] if name == TABLE else []
        found.append(Extension(name, [str(pyx), *plain], include_dirs=["src_c"], depends=HEADERS + isa))
    return found


class BuildKernels(build_ext):
    """Compile the ISA objects, then every module, with OpenMP unless it was declined."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count() or 1

    def build_extensions(self) -> None:
        openmp = [] if switch("NNCORE_NO_OPENMP") else ["-fopenmp"]
        self.check_compiler(openmp)
        emulate = ["-DNNCORE_EMULATE_AMX"] if switch("NNCORE_EMULATE_AMX") else []
        self.compile_flags = [*C_FLAGS, *mode_flags(), *openmp, *emulate]
        link_flags = [*openmp, "-fno-lto", *sanitize_flags()]
        stamp = self.force_if_changed([*self.compiler.compiler_so, *self.compile_flags, *link_flags, repr(levels())])
        self.translate()
        for ext in self.extensions:
            ext.extra_compile_args = [*self.compile_flags, *C_WARNINGS, *CYTHON_WARNINGS]
            ext.extra_link_args = link_flags
            if ext.name == TABLE:
                ext.extra_objects = self.isa_objects()
        super().build_extensions()
        stamp()

    def check_compiler(self, openmp: list[str]) -> None:
        """Say what is missing, and what to install, before the real compilation fails at length."""
        if self.compiler.compiler_type != "unix":
            raise PlatformError(
                f"nncore: expected GCC or Clang, got the compiler type {self.compiler.compiler_type!r}, which lacks "
                "the vector extensions of C that the kernels are written in. On Windows, build inside WSL."
            )
        compiler = self.compiler.compiler_so[0]
        if not self.links("int main(void) { return 0; }", []):
            raise PlatformError(
                f"nncore: the C compiler {compiler!r} is missing or cannot link a program. Install one (Debian, "
                "Ubuntu: apt install gcc libc6-dev; Fedora: dnf install gcc; macOS: xcode-select --install) or set CC."
            )
        if not self.links("#include <Python.h>\nint main(void) { return 0; }", []):
            raise PlatformError(
                "nncore: Python.h is missing. Install Python's headers (Debian, Ubuntu: apt install python3-dev; "
                "Fedora: dnf install python3-devel)."
            )
        if openmp and not self.links("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }", openmp):
            raise PlatformError(
                f"nncore: {compiler!r} cannot build a program with OpenMP, which the kernels use for threads. Install "
                "it (Debian, Ubuntu: apt install gcc, or libomp-dev for Clang; Fedora: dnf install gcc, libomp-devel; "
                "macOS: brew install gcc and set CC=gcc-14), or set NNCORE_NO_OPENMP=1 to build for one thread."
            )

    def links(self, code: str, flags: list[str]) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(code + "\n")
            try:
                include = self.compiler.include_dirs
                objects = self.compiler.compile([str(source)], folder, include_dirs=include, extra_postargs=flags)
                self.compiler.link_executable(objects, str(Path(folder, "probe")), extra_postargs=flags)
            except (CompileError, ExecError, LinkError):
                return False
        return True

    def force_if_changed(self, flags: list[str]) -> Callable[[], object]:
        """Rebuild everything if the last build here had other flags (asserts on, say); call the result at the end."""
        stamp = Path(self.build_temp, "flags.txt")
        now = " ".join(flags)
        if not stamp.exists() or stamp.read_text() != now:
            self.force = True
            stamp.unlink(missing_ok=True)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        return lambda: stamp.write_text(now)

    def translate(self) -> None:
        """Turn each .pyx into C below the build directory, so that the source tree stays as it was."""
        from Cython.Build import cythonize

        # Only the .pyx are handed over: cythonize would copy C sources and headers to build_dir, where they go stale.
        translated = cythonize(
            [Extension(ext.name, ext.sources[:1]) for ext in self.extensions],
            build_dir=str(Path(self.build_temp, "cython")),
            compiler_directives={"language_level": 3},
            force=self.force,
        )
        for ext, alone in zip(self.extensions, translated, strict=True):
            assert ext.name == alone.name
            ext.sources[:1] = alone.sources

    def isa_objects(self) -> list[str]:
        """Compile src_c/isa/<isa>.c once per element type, into build_temp/<isa>/<bits>/."""
        machine = target_machine()
        jobs = [
            (f"src_c/isa/{isa}.c", str(Path(self.build_temp, isa, str(bits))), flags, bits)
            for isa, (flags, machines) in levels().items()
            if machines is None or machine in machines
            for bits in REAL_BITS
        ]

        def compiled(job: tuple[str, str, list[str], int]) -> str:
            source, folder, flags, bits = job
            newest = max(os.path.getmtime(path) for path in [source, *HEADERS])
            built = Path(folder, source).with_suffix(".o")
            if not self.force and built.exists() and built.stat().st_mtime > newest:
                return str(built)
            [built_now] = self.compiler.compile(
                [source],
                output_dir=folder,
                macros=[("NN_REAL_BITS", str(bits))],
                include_dirs=["src_c"],
                extra_postargs=[*self.compile_flags, *flags, *C_WARNINGS],
            )
            return str(built_now)

        with ThreadPoolExecutor(self.parallel) as pool:
            return list(pool.map(compiled, jobs))


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildKernels})
