# Sourced by .ci/run: the stages that look at the kernels with other eyes: sanitizers, another compiler, another machine.
# CONTRIBUTING.md says what each of them sees. Each sanitizer has to find what is planted here, before its tests run;
# pytest does not capture what they report.

asan_clone=$work/asan tsan_clone=$work/tsan clang_clone=$work/clang arm_clone=$work/arm
levels=(env) # of x86-64 not those beyond avx2: they take most of the time, and mask what the sanitizers would look at
! grep -qsw avx2 /proc/cpuinfo || levels=(env NNCORE_HIGHEST_ISA=avx2)

bad_addresses() { # and undefined behaviour, with asserts on
    clone "$asan_clone"
    python3 -m venv .venv
    "${levels[@]}" NNCORE_DEBUG=1 NNCORE_SANITIZE=address,undefined $venv_bin/pip install --quiet ".[test]" pytest-xdist
    # Python does not free all that it allocates, so nobody looks for leaks.
    export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1
    export PYTHONMALLOC=malloc LD_PRELOAD
    LD_PRELOAD=$(gcc -print-file-name=libasan.so)
    must_find heap-buffer-overflow <<'PY'
import numpy as np
from nncore._kernels import elementwise
from nncore._kernels.table import Table
a, b, out = (np.ones(n, "float32") for n in (1000, 999, 1000))
elementwise.apply_add(Table("portable", "float32"), a, b, out)
PY
    must_find "signed integer overflow" <<'PY'
import numpy as np
from nncore._kernels import dense
from nncore._kernels.table import Table
a, b, out = (np.ones(4, "float32") for _ in range(3))
dense.gemm(Table("portable", "float32"), a, b, out, 2**62, 1, 4)
PY
    # test_kernels_bounds has pages that fault instead of a sanitizer, which knows nothing of them, and a test that
    # expects SIGSEGV. Of test_determinism, what trains for long does what others do.
    must_pass -q "${workers[@]}" --capture=sys $(kernel_tests_but_bounds) tests/execution/test_{determinism,layouts,stepping,products}.py \
        tests/training/test_training.py tests/compiler/test_{sections,chains,rematerialization}.py tests/operations/test_operations.py \
        tests/layers/test_embedding.py tests/layers/test_integers.py -k "not (process or several_products)"
    must_pass -q --capture=sys tests/compiler/test_compiler.py -k team
}

kernel_tests_but_bounds() {
    ls tests/operations/test_kernels*.py | grep -v bounds
}

data_races() { # clang's OpenMP runtime tells ThreadSanitizer, through Archer, where threads meet; GCC's does not
    packages clang libomp-dev
    clone "$tsan_clone"
    python3 -m venv .venv
    "${levels[@]}" CC=clang NNCORE_DEBUG=1 NNCORE_SANITIZE=thread $venv_bin/pip install --quiet ".[test]"
    # Python and NumPy are not instrumented. GCC's runtime is preloaded: clang 14's own needs libstdc++, whose
    # initializers call it before it is ready. Their interface is the same.
    export OMP_TOOL_LIBRARIES LD_PRELOAD TSAN_OPTIONS=ignore_noninstrumented_modules=1:halt_on_error=1
    OMP_TOOL_LIBRARIES=$(clang -print-resource-dir)/../../libarcher.so
    LD_PRELOAD=$(gcc -print-file-name=libtsan.so)
    ls "$OMP_TOOL_LIBRARIES" "$LD_PRELOAD"
    must_find "data race" <<'PY'
import threading
import numpy as np
from nncore._kernels import elementwise
from nncore._kernels.table import Table
table, x, out = Table("portable", "float32"), np.ones(1 << 20, "float32"), np.ones(1 << 20, "float32")
def add():
    for _ in range(100):
        elementwise.apply_add(table, x, x, out)
threads = [threading.Thread(target=add) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
PY
    # Late threads, teams, predictions beside a fit; no forks, after which ThreadSanitizer gives up. What is left out
    # beside them does at greater length what others do.
    must_pass -q --capture=sys tests/execution/test_{team,gate*,determinism,layouts,stepping,products,interrupts}.py \
        tests/compiler/test_{sections,chains,rematerialization}.py \
        -k "not (fork or child or process or several_products)" \
        --deselect "tests/execution/test_team.py::test_late_threads_do_no_harm[16]" \
        --deselect "tests/execution/test_gate_threads.py::test_packed_copies_are_those_of_the_weights[500]"
    must_pass -q --capture=sys tests/compiler/test_compiler.py tests/execution/test_tuning.py -k team
}

clang_build() {
    packages clang libomp-dev
    clone "$clang_clone"
    python3 -m venv .venv
    CC=clang $venv_bin/pip install --verbose ".[test]" pytest-xdist >"$work/clang.log" 2>&1 || { tail -n 50 "$work/clang.log"; false; }
    ! grep -E -A 3 'warning:' "$work/clang.log"
    # Not forced to any, they go through all instruction sets.
    must_pass -q "${workers[@]}" tests/operations/test_{kernels*,windows_precision}.py tests/execution/test_{determinism,layouts}.py
}

aarch64() { # the compiler runs here; Debian's Python for arm64, and NumPy's wheel, under qemu
    packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
    clone "$arm_clone"
    python3 -m venv .venv
    $venv_bin/pip install --quiet "setuptools>=77" "cython>=3.1"
    local arm=$work/arm64 version include
    arm64_root "$arm"
    version=$(basename "$arm"/usr/bin/python3.*[0-9])
    include=$arm/usr/include
    export CC=aarch64-linux-gnu-gcc # of tests, too
    _PYTHON_HOST_PLATFORM=linux-aarch64 SETUPTOOLS_EXT_SUFFIX=.so CFLAGS="-I$include/$version -idirafter $include" \
        $venv_bin/python setup.py -q build_ext --inplace
    $venv_bin/pip install --quiet --target "$arm/site" --only-binary=:all: --python-version "${version#python}" \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux2014_aarch64 \
        numpy tqdm safetensors pytest pytest-xdist
    cp -r nncore "$arm/site" # apart from the checkout: see tests/conftest.py
    printf '#!/bin/sh\nPYTHONPATH="%s${PYTHONPATH:+:$PYTHONPATH}" exec qemu-aarch64 -L "%s" "%s" "$@"\n' \
        "$arm/site" "$arm" "$arm/usr/bin/$version" >"$arm/python"
    chmod +x "$arm/python"
    echo "import sys; sys.executable = '$arm/python'" >"$arm/site/sitecustomize.py" # what tests start is emulated, too
    interpreter=("$arm/python")
    export OPENBLAS_NUM_THREADS=1 # NumPy's products, the reference: the other cores have tests of their own
    # Left out: the sweeps of test_kernels_bounds, which are of C that is compiled here, too; eight epochs of wide layers;
    # the tens of thousands of steps after which float64's smallest moments are 0; two of four layouts of large products.
    must_pass -q "${workers[@]}" $(kernel_tests_but_bounds) tests/operations/test_operations.py \
        tests/execution/test_{float_mode,determinism,layouts,products}.py \
        -k "not (several_products or dead_units and float64 or many_blocks and (layout1 or layout2))"
}

arm64_root() { # folder: Debian's Python for arm64 and what it needs, unpacked there; nothing is installed
    local apt=$1.apt package
    mkdir -p "$1" "$apt"/{lists,archives}/partial
    touch "$apt/status"
    local options=(-q -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State="$apt"
        -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" -o APT::Install-Recommends=0)
    { apt-get "${options[@]}" update && apt-get "${options[@]}" -y --download-only install python3 libpython3-dev libstdc++6 \
        libgomp1
    } >"$work/apt.log" 2>&1 || { tail -n 5 "$work/apt.log"; skip "apt-get cannot fetch Python for arm64"; }
    for package in "$apt"/archives/*.deb; do dpkg-deb -x "$package" "$1"; done
}
