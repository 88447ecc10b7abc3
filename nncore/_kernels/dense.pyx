"""Products, which a team divides by blocks of the result.

Every element of a result is accumulated in an order given by the sizes alone (contract.h), so the blocks may
depend on the number of threads, and are taken by whichever thread is free.
"""

from libc.stdint cimport int64_t
from libc.stdlib cimport free
from libc.string cimport memset

from nncore._kernels.table cimport (
    NN_ACTIVATION_linear, NN_PATTERN_PRODUCT, Numbers, Table, View, aligned, nn_float_mode,
    nn_float_mode_enter, nn_float_mode_leave, nn_gemm, nn_index, nn_is_last, nn_member, nn_op, nn_run, nn_table,
    nn_take_tile, nn_tiles, parameter_numbers, view,
)
from nncore._kernels.table import ACTIVATIONS, PRECISIONS

cdef enum:
    BLOCKS_PER_THREAD = 4   # enough that a thread whose core is busy elsewhere holds the others up little
    BLOCK_FLOPS = 200_000   # about 2 µs: below this, claiming and packing cost more than they share
    LONGEST_FLOPS = 2_000_000_000   # of a block: 10 to 40 ms, between two looks at signals
    DEPTH_PER_ROW = 16      # inputs for each row of a further block's sums that make up for adding them


cdef inline nn_index up(nn_index n, nn_index d) noexcept nogil:
    return (n + d - 1) // d


cdef Grid grid(const nn_table *table, const nn_gemm *g, int64_t precision, int64_t threads) noexcept nogil:
    """Cut the result (M,N) into about `wanted` blocks of whole tiles, reading as little of A and B as possible.

    r blocks of rows read B r times, c blocks of columns read A c times; r N + c M is least for the best pair.
    """
    cdef double flops = 2.0 * g.M * g.N * g.K
    cdef nn_index wanted = <nn_index> max(min(<double> BLOCKS_PER_THREAD * threads if threads > 1 else 1.0,
                                              flops / BLOCK_FLOPS), flops / LONGEST_FLOPS)
    cdef nn_index r, c, best_r = 1, best_c = 1, cost, least = -1
    cdef nn_index row_tiles = up(g.M, table.mr[precision]), col_tiles = up(g.N, table.nr)
    cdef Grid cut
    if wanted > 1:
        for r in range(1, min(wanted, row_tiles) + 1):
            c = min(up(wanted, r), col_tiles)
            cost = r * g.N + c * g.M
            if r * c * 2 > wanted and (least < 0 or cost < least):
                least, best_r, best_c = cost, r, c
        if least < 0:
            best_r, best_c = min(wanted, row_tiles), col_tiles
    cut.row_block = max(1, up(row_tiles, best_r)) * table.mr[precision]
    cut.col_block = max(1, up(col_tiles, best_c)) * table.nr
    cut.rows = up(g.M, cut.row_block)
    cut.cols = up(g.N, cut.col_block)
    return cut


cdef nn_index product_block(const nn_table *table, const nn_gemm *whole, int64_t precision, const Grid *cut,
                            nn_index block) noexcept nogil:
    """Compute one block of a product; how many elements it has."""
    cdef nn_gemm g = whole[0]
    cdef nn_index size = table.itemsize
    cdef nn_index i, j
    if whole.nonfinite != NULL:  # dW: strips of rows, which the update gives to the same thread
        i, j = block // cut.cols * cut.row_block, block % cut.cols * cut.col_block
    else:  # strips of columns
        i, j = block % cut.rows * cut.row_block, block // cut.rows * cut.col_block
    g.M = min(cut.row_block, whole.M - i)
    g.N = min(cut.col_block, whole.N - j)
    g.part = cut.cols > 1
    g.A = <const char *> whole.A + i * whole.a_row * size
    g.B = <const char *> whole.B + j * whole.b_col * size
    g.C = <char *> whole.C + (i * whole.ldc + j) * size
    g.column = j
    if whole.bias != NULL:
        g.bias = <const char *> whole.bias + j * size
    if whole.affine != NULL:
        g.affine = <const char *> whole.affine + j * size
    if whole.Z != NULL:
        g.Z = <char *> whole.Z + (i * whole.ldz + j) * size
    if whole.saved != NULL:
        g.saved = <const char *> whole.saved + (i * whole.ldsaved + j) * size
    table.gemm[precision](&g)
    return g.M * g.N


cdef void product(const nn_op *op, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """This thread's blocks of a product."""
    cdef nn_gemm g
    cdef Grid cut
    cdef int precision
    run.table.span[op.kind](op, run, 0, 0, &g)
    if run.threads > 1 and g.M <= rows_by_depth(&g, run.table):
        product_by_depth(&g, run, index, me)
        return
    precision = run.table.precision_for(g.precision, g.M if g.nonfinite != NULL else 0, g.K, g.N)
    g.scratch = run.scratch + me.thread * run.scratch_bytes
    if run.undivided:
        run.table.gemm[precision](&g)
        return
    cut = grid(run.table, &g, precision, run.threads)
    while nn_take_tile(run, index, me, cut.rows * cut.cols):
        product_block(run.table, &g, precision, &cut, me.tile)


cdef inline nn_index further_blocks(const nn_table *table, nn_index K) noexcept nogil:
    """Blocks of K after the first."""
    return up(K, table.depth(K)) - 1 if K else 0


cdef inline nn_index rows_by_depth(const nn_gemm *g, const nn_table *table) noexcept nogil:
    """The largest M for which a product X W is cut by blocks of K, the rows of W; 0: none is.

    A thread then reads the rows of W that it has updated, not columns of which the others have. For many rows, adding
    the blocks' sums up costs more than that saves. Two threads: a step of 784-128-10 with 32 rows 112 → 98 µs, one
    of 784-256-128-10 with 128 rows 697 → 722 µs.
    """
    cdef nn_index further
    if g.a_col != 1 or g.b_col != 1 or g.N < table.nr or g.affine != NULL:
        return 0
    if table.precision_for(g.precision, 0, g.K, g.N):
        return 0
    further = further_blocks(table, g.K)
    return g.K // (DEPTH_PER_ROW * further) if further else 0


cdef size_t parts_bytes(const nn_op *op, nn_run *run) noexcept nogil:
    """Room that a team needs for the sums of the further blocks, of a batch of `run.samples`."""
    cdef nn_gemm g
    cdef nn_index rows
    if op.pattern != NN_PATTERN_PRODUCT:
        return 0
    run.table.span[op.kind](op, run, 0, 0, &g)
    rows = min(rows_by_depth(&g, run.table), g.M)
    return up(further_blocks(run.table, g.K) * rows * g.N * run.table.itemsize, 64) * 64 if rows else 0


cdef void product_by_depth(const nn_gemm *whole, nn_run *run, int64_t index, nn_member *me) noexcept nogil:
    """This thread's blocks of K of Y = f(X W + b), by strips of columns; who does the last of a strip adds them up."""
    cdef const nn_table *table = run.table
    cdef nn_tiles *tiles = &run.tiles[index * run.threads]
    cdef nn_gemm g = whole[0]
    cdef nn_index size = table.itemsize, M = whole.M, N = whole.N, depth = table.depth(whole.K)
    cdef nn_index further = further_blocks(table, whole.K), col_tiles = up(N, table.nr)
    cdef nn_index col_block = up(col_tiles, min(run.threads, col_tiles)) * table.nr, cols = up(N, col_block)
    cdef nn_index i, j, k, part
    cdef char *sums = <char *> (whole.Z if whole.Z != NULL else whole.C)
    cdef char *parts = run.parts + run.parts_at[index]   # (further,M,N)
    g.scratch = run.scratch + me.thread * run.scratch_bytes
    g.part, g.Z, g.activation = True, NULL, <int> NN_ACTIVATION_linear
    while nn_take_tile(run, index, me, (further + 1) * cols):
        k, j = me.tile // cols, me.tile % cols * col_block
        g.K, g.N = min(depth, whole.K - k * depth), min(col_block, N - j)
        g.A = <const char *> whole.A + k * depth * size
        g.B = <const char *> whole.B + (k * depth * N + j) * size
        g.bias = <const char *> whole.bias + j * size if k == 0 and whole.bias != NULL else NULL
        g.C = (sums if k == 0 else parts + (k - 1) * M * N * size) + j * size
        table.gemm[0](&g)
        if nn_is_last(&tiles[me.tile % cols], <int> further + 1):
            for i in range(M):
                for part in range(further):
                    table.add(g.N, sums + (i * N + j) * size, parts + ((part * M + i) * N + j) * size,
                              sums + (i * N + j) * size)
            table.activate[whole.activation](M, g.N, sums + j * size, N, <char *> whole.C + j * size, N,
                                             whole.parameters)


def gemm(Table table, a, b, out, Py_ssize_t M, Py_ssize_t N, Py_ssize_t K, *, bint a_transposed=False,
         bint b_transposed=False, bias=None, str activation="linear", parameters=(), z=None, saved=None,
         Py_ssize_t ldc=-1, bint part=False, bint check=True, str precision="highest", packed=None,
         Py_ssize_t column=0):
    """Compute one block C (M,N) = f(bias + A B) or (A B) ⊙ f′(saved), on the calling thread.

    Parameters
    ----------
    table : Table
    a : array of M K elements
        (M,K) row-major, or (K,M) with `a_transposed`.
    b : array of K N elements
        (K,N) row-major, or (N,K) with `b_transposed`.
    out : array
        Receives C, rows `ldc` elements apart (default N).
    bias, z, saved : array, optional
        (N), (M,N) and (M,N), as in contract.h.
    part : bool, default False
        The columns are some of a wider product.
    check : bool, default True
        Look at the elements of C.
    precision : {"highest", "high", "medium"}
    packed : array, optional
        What `pack` made of a matrix whose columns from `column` on are b, which is not read then.

    Returns
    -------
    bool
        Whether every element of C that was looked at is finite.
    """
    cdef nn_float_mode callers
    cdef nn_gemm g
    cdef Numbers taken
    cdef View va = view(a, table), vb = view(b, table), vc = view(out, table, True), vbias, vz, vsaved, vpacked
    cdef int nonfinite = 0, level = PRECISIONS[precision]
    memset(&g, 0, sizeof(g))
    ldc = N if ldc < 0 else ldc
    if min(M, N, K) < 0 or va.size < M * K or vb.size < K * N or (M and vc.size < (M - 1) * ldc + N):
        raise ValueError(f"a, b, out: too small for M, N, K = {M}, {N}, {K}")
    g.M, g.N, g.K = M, N, K
    g.A, g.a_row, g.a_col = va.data, 1 if a_transposed else K, M if a_transposed else 1
    g.B, g.b_row, g.b_col = vb.data, 1 if b_transposed else N, K if b_transposed else 1
    g.C, g.ldc = vc.data, ldc
    taken = parameter_numbers(parameters)
    g.activation, g.parameters, g.part = ACTIVATIONS[activation], taken.all, part
    if bias is not None:
        vbias = view(bias, table)
        g.bias = vbias.data
    if z is not None:
        vz = view(z, table, True)
        g.Z, g.ldz = vz.data, N
    if saved is not None:
        vsaved = view(saved, table)
        g.saved, g.ldsaved = vsaved.data, N
    if packed is not None:
        vpacked = view(packed)
        g.packed, g.column = vpacked.data, column
    if check:
        g.nonfinite = &nonfinite
    g.scratch = aligned(table.c.gemm_scratch)
    try:
        with nogil:
            callers = nn_float_mode_enter()
            table.c.gemm[level](&g)
            nn_float_mode_leave(callers)
    finally:
        free(g.scratch)
    return not nonfinite


def pack(Table table, str precision, bint transposed, nn_index inputs, nn_index outputs, w, packed, int64_t offset,
         nn_index rows=0):
    """Lay out the weights `w` (inputs,outputs) from byte `offset` of `packed` on, for X W or, transposed, dY Wᵀ.

    `rows`: of X or dY, as of `precision_for` in contract.h.
    """
    cdef nn_float_mode callers
    cdef View vw = view(w, table), vp = view(packed, None, True)
    cdef int level = PRECISIONS[precision]
    cdef int64_t size = table.c.packed_bytes(level, transposed, rows, inputs, outputs)
    if not size:
        shape = f"({inputs}, {outputs})"
        raise ValueError(f"precision: products of {precision!r} read weights of shape {shape} as they are")
    if vw.size < inputs * outputs or vp.buffer.len < offset + size:
        raise ValueError(f"w, packed: too small for weights of shape ({inputs}, {outputs})")
    with nogil:
        callers = nn_float_mode_enter()
        table.c.pack(level, transposed, inputs, outputs, 0, inputs, vw.data, vp.data + offset)
        nn_float_mode_leave(callers)
