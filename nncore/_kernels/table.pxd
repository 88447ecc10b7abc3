# The C contract as Cython sees it; contract.h and program.h hold the meanings.
from libc.stdint cimport int32_t, int64_t, uint64_t


cdef extern from "core/contract.h" nogil:
    ctypedef Py_ssize_t nn_index
    enum:
        NN_PRECISIONS
        NN_ACTIVATIONS
        NN_ROWWISES
        NN_LOSSES
        NN_METRICS
        NN_TALLIES
        NN_MOMENTS
        NN_OPTIMIZERS
        NN_SOURCES
        NN_FUNCTIONS
        NN_ACTIVATION_linear
        NN_PACK_ROWS
        NN_MANY_ROWS
        NN_WINDOWS
        NN_WINDOW_GRADIENTS
        NN_BAND_REALS
        NN_LINE_WINDOWS
        NN_WINDOW_PLACES
        NN_POINTS
        NN_SIDE_REALS
        NN_PARAMETERS

    ctypedef struct nn_gemm:
        nn_index M, N, K
        const void *A
        nn_index a_row, a_col
        const void *B
        nn_index b_row, b_col
        const void *packed
        nn_index column
        void *C
        nn_index ldc
        const void *bias
        const void *affine
        nn_index ldaffine
        int precision
        int activation
        const double *parameters
        void *Z
        nn_index ldz
        const void *saved
        nn_index ldsaved
        int part
        int add
        nn_index segments
        const nn_index *offsets
        nn_index group, a_group
        int *nonfinite
        void *scratch

    ctypedef struct nn_loss:
        nn_index rows, n
        const void *p
        const void *target
        const void *weight
        const void *each
        const void *columns
        double scale
        const double *parameters
        void *grad
        void *prob
        double *values
        double *counted

    ctypedef struct nn_event:
        int64_t place
        double value

    ctypedef struct nn_tally:
        nn_index rows, n, m
        const void *p
        const void *target
        int labels
        const void *weight
        nn_index weights
        const void *numbers
        nn_index count
        const double *parameters
        nn_event *events

    ctypedef struct nn_row:
        nn_index n
        nn_index *count
        nn_index *step

    enum:
        NN_STATES

    ctypedef struct nn_number:
        const char *name
        const char *interval
        size_t offset

    ctypedef struct nn_optimizer:
        const char *name
        const char *const *states
        const nn_number *numbers
        size_t size

    ctypedef struct nn_rule:
        double learning_rate, weight_decay, grad_scale, clip_value, step

    ctypedef void (*nn_activate)(nn_index, nn_index, const void *, nn_index, void *, nn_index,
                                 const double *) noexcept nogil
    ctypedef void (*nn_activate_backward)(nn_index, nn_index, const void *, nn_index, const void *, nn_index,
                                          void *, nn_index, const double *) noexcept nogil
    ctypedef void (*nn_rows)(nn_index, nn_index, const void *, void *) noexcept nogil
    ctypedef void (*nn_rows_backward)(nn_index, nn_index, const void *, const void *, void *) noexcept nogil
    ctypedef void (*nn_update)(nn_index, const int32_t *, nn_index, void *, const void *, void **, const nn_rule *,
                               const void *) noexcept nogil
    ctypedef nn_index (*nn_gather)(nn_index, const nn_row *, const void *, nn_index, const int64_t *, nn_index,
                                   void *) noexcept nogil
    ctypedef nn_index (*nn_gather_integers)(nn_index, const nn_row *, const void *, nn_index, const int64_t *,
                                            nn_index, int64_t, int64_t, int32_t *) noexcept nogil
    ctypedef double (*nn_rowwise)(const nn_loss *) noexcept nogil
    ctypedef void (*nn_counting)(const nn_tally *) noexcept nogil
    ctypedef void (*nn_function)(nn_index, const void *, void *) noexcept nogil

    ctypedef void (*nn_product)(const nn_gemm *) noexcept nogil
    ctypedef void (*nn_span)(const void *op, void *run, nn_index first, nn_index count, void *scratch) noexcept nogil

    ctypedef struct nn_table:
        const char *isa
        nn_index itemsize, lanes
        nn_index *mr
        nn_index nr
        size_t gemm_scratch
        size_t scratch
        nn_product *gemm
        const char **arithmetic
        nn_index (*depth)(nn_index) noexcept nogil
        int (*precision_for)(int, nn_index, nn_index, nn_index) noexcept nogil
        size_t (*packed_bytes)(int, int, nn_index, nn_index, nn_index) noexcept nogil
        void (*pack)(int, int, nn_index, nn_index, nn_index, nn_index, const void *, void *) noexcept nogil
        nn_activate *activate
        nn_activate_backward *activate_backward
        nn_rows *rowwise
        nn_rows_backward *rowwise_backward
        void (*add)(nn_index, const void *, const void *, void *) noexcept nogil
        void (*multiply)(nn_index, const void *, const void *, void *) noexcept nogil
        void (*rescale)(nn_index, double, double, const void *, void *) noexcept nogil
        void (*dropout)(nn_index, uint64_t, const uint64_t *, double, const void *, void *) noexcept nogil
        void (*column_sums)(nn_index, nn_index, const void *, nn_index, void *, int *) noexcept nogil
        double (*sum_squares)(nn_index, const void *, double *) noexcept nogil
        double (*regularize)(nn_index, double, double, const void *, void *) noexcept nogil
        double (*orthogonal)(const nn_table *, nn_index, nn_index, int, double, const void *, void *, void *,
                             void *) noexcept nogil
        void (*constrain)(int, nn_index, nn_index, nn_index, nn_index, void *, const double *) noexcept nogil
        nn_rowwise *loss
        nn_rowwise *metric
        nn_counting *tally
        void (*moments)(nn_index, nn_index, nn_index, nn_index, const void *, const void *, const void *, nn_index,
                        nn_index, double *) noexcept nogil
        nn_update *update
        nn_gather *gather
        nn_gather_integers *gather_integers
        nn_function *function
        const nn_span *span

    bint nn_table_runs(int level)
    bint nn_table_pays(int level)
    const nn_table *nn_table_at(int level, int bits)
    const char *const *nn_precision_names
    const char *const *nn_activation_names
    const char *const *nn_activation_saved
    const char *const *nn_rowwise_names
    const char *const *nn_rowwise_saved
    const char *const *nn_activation_parameters
    const char *const *nn_loss_parameters
    const char *const *nn_metric_parameters
    const char *const *nn_constraint_names
    const char *const *nn_loss_names
    const char *const *nn_loss_targets
    const char *const *nn_loss_forms
    const char *const *nn_metric_names
    const char *const *nn_metric_targets
    const char *const *nn_tally_names
    const char *const *nn_tally_parameters
    nn_optimizer nn_optimizer_at(int id)
    const nn_number *nn_rule_numbers
    const char *const *nn_source_names
    const char *const *nn_function_names
    const char *const *nn_buffer_names


cdef extern from "core/gate.h" nogil:
    ctypedef struct nn_gate:
        pass

    bint nn_gate_read(nn_gate *)
    void nn_gate_read_again(nn_gate *)
    bint nn_gate_await(nn_gate *, double seconds)
    void nn_gate_end_read(nn_gate *)
    bint nn_gate_write(nn_gate *, int own, double seconds)
    void nn_gate_end_write(nn_gate *)
    void nn_gate_reset(nn_gate *, int own)


cdef extern from "core/float_mode.h" nogil:
    ctypedef uint64_t nn_float_mode
    nn_float_mode nn_float_mode_enter()
    void nn_float_mode_leave(nn_float_mode callers)


cdef extern from "core/program.h" nogil:
    enum:
        NN_OPERATIONS
        NN_BUFFERS
        NN_BINDINGS
        NN_CHUNK_ROWS
        NN_SUM_ROWS
        NN_SUM_CHAINS
        NN_MOVING
        NN_BUFFER_moving
        NN_OP_gather
        NN_BUFFER_binding
        NN_PATTERN_CHUNKS
        NN_PATTERN_PRODUCT
        NN_SECTION_LOOP
        NN_SECTION_PYTHON
        NN_SECTION_REDUCE
        NN_SECTION_UPDATE
        NN_BUFFER_workspace
        NN_BUFFER_local
        NN_BUFFER_packed
        NN_BUFFER_norms
        NN_BUFFER_measures
        NN_RULES
        NN_LEARNING_RATE
        NN_WEIGHT_DECAY
        NN_OWN_SCHEDULED

    ctypedef struct nn_operand:
        int64_t buffer, offset

    ctypedef struct nn_op:
        int64_t kind, pattern, barrier, fixed, per_sample, block, cost, chain, chain_step, chain_most
        int64_t first_local, n_locals, first_distant, n_distant

    ctypedef struct nn_local:
        pass

    ctypedef struct nn_distant:
        pass

    ctypedef struct nn_ahead:
        pass

    ctypedef struct nn_section:
        int64_t kind, first, end, turns, step, moving, n_moving, each, steps

    ctypedef struct nn_moving:
        int64_t slot, buffer, offset, stride

    ctypedef struct nn_field:
        const char *name
        const char *role
        size_t offset

    ctypedef struct nn_declaration:
        const char *name
        const char *pattern
        const char *fusion
        int64_t flops
        const nn_field *fields

    nn_declaration nn_declared(int kind)
    const nn_field *nn_op_head
    const char *const *nn_pattern_names
    const char *const *nn_section_names

    ctypedef struct nn_binding:
        char *data
        int64_t stride, type, low, high, in_place
        nn_row row
        char *copy

    ctypedef struct nn_chunk:
        int64_t offset, n, group
        double l1, l2, decay
        int64_t inputs, outputs, first
        int64_t *packed

    ctypedef struct nn_accumulator:
        int64_t width, sum, partial, size, events, rows, by_chunks, per_step, finite
        nn_operand weight

    ctypedef struct nn_scheduled:
        const double *values
        int64_t stride

    ctypedef struct nn_optimizing:
        const void *numbers
        double clip_value, clipnorm

    ctypedef struct nn_run:
        const nn_table *table
        const nn_op *ops
        const nn_local *locals
        const nn_distant *distant
        nn_binding *bindings
        int64_t n_bindings
        const int64_t *order
        int64_t row, samples, rows, threads
        int undivided
        nn_tiles *tiles
        char *scratch
        int64_t scratch_bytes, local_from, ahead_from
        char *parts
        int64_t *parts_at
        uint64_t seed
        int64_t *step
        const nn_chunk *chunks
        int64_t n_chunks
        const nn_scheduled *scheduled
        int64_t scheduled_from, scheduled_to
        int64_t *updates
        nn_optimizing *optimizers
        const nn_accumulator *accumulators
        int64_t n_accumulators
        double *partial
        double *sums
        int nonfinite
        double look_at
        void (*look)(nn_run *) noexcept nogil
        int called_off
        void *owner
        nn_gate *gate
        int64_t bad
        char **base

    int64_t NN_NONE_BAD
    int64_t NN_BAD_PLACES
    void nn_turn(nn_run *, const nn_section *, const nn_moving *, int64_t turn)
    void nn_put_base(nn_run *, int buffer, char *base)
    void nn_put_batch(nn_run *, int64_t row, int64_t samples)
    void nn_put_cut(nn_run *, int undivided, double look_at)
    void nn_run_copy(nn_run *mine, const nn_run *)
    void nn_note_bad(nn_run *, int64_t place, int64_t binding)
    void *nn_at(const nn_run *, nn_operand)
    int64_t nn_parts(const nn_run *, const nn_accumulator *, int64_t samples)
    void nn_add_parts(const nn_run *, const nn_accumulator *, double times, double *out)
    void nn_fetch_samples(const nn_run *, const nn_op *chain, int64_t first, int64_t count, int64_t thread)
    const nn_op *nn_at_samples(const nn_op *, nn_op *mine, const nn_run *, int64_t first, int64_t thread)
    bint nn_take_tile(nn_run *, int64_t index, nn_member *, long count)


cdef extern from "core/team.h" nogil:
    ctypedef struct nn_team:
        long first, last
        int leaving

    ctypedef struct nn_tiles:
        pass

    ctypedef struct nn_member:
        int thread, threads
        long stage, tile

    void nn_team_reset(nn_team *)
    void nn_team_open(nn_team *, long stage, long first, long last)
    long nn_team_await(nn_team *, long stage)
    void nn_tiles_reset(nn_tiles *, int n)
    void nn_tiles_offer(nn_tiles *, int n, long stage)
    bint nn_next_tile(nn_tiles *, nn_member *, long count)
    void nn_tiles_await(nn_tiles *, int threads)
    long nn_claim(nn_tiles *)
    void nn_claim_rest(nn_tiles *)
    bint nn_is_last(nn_tiles *, int of)
    double nn_seconds()
    int nn_core()
    void nn_leave_core(int core)
    void nn_tiles_leave(nn_tiles *, int thread, int threads)
    int nn_region_threads()


cdef class Table:
    cdef const nn_table *c


cdef class View:
    cdef Py_buffer buffer
    cdef bint held
    cdef char *data
    cdef readonly Py_ssize_t size, itemsize


cdef nn_row row_of(nn_index n, int type, axes)
cdef struct Numbers:
    double[<int> NN_PARAMETERS] all


cdef Numbers parameter_numbers(object given)
cdef View view(object array, Table table=*, bint writable=*)
cdef void *room(size_t size) except NULL
cdef void *aligned(size_t size) except NULL
