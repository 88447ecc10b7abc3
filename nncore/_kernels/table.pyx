"""The tables of kernels, one per instruction set and type; the only module that links the C library.

The other modules reach kernels through the pointers of a table, and ids through the names listed here.
"""

from cpython.buffer cimport PyBUF_ANY_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset


cdef extern from "core/random.h" nogil:
    ctypedef struct nn_shuffle:
        pass
    void nn_shuffle_begin(nn_shuffle *s, const uint64_t *key, int64_t n, int64_t *out)
    bint nn_shuffle_advance(nn_shuffle *s, int64_t work)


cdef extern from "core/pages.h" nogil:
    void *nn_room(size_t size)


cdef enum:
    SHUFFLED = 1 << 20   # numbers between two looks at signals: about 10 ms


cdef list names(const char *const *c_names):
    cdef list found = []
    cdef int i = 0
    while c_names[i] != NULL:
        found.append(c_names[i].decode())
        i += 1
    return found


cdef dict ids(const char *const *c_names):
    return {name: i for i, name in enumerate(names(c_names))}


cdef dict parameters(const char *const *c_names, const char *const *c_parameters):
    """The names of the numbers that each takes."""
    return {name: tuple(words.split()) for name, words in zip(names(c_names), names(c_parameters))}


cdef tuple fields(const nn_field *f):
    """(name, role, offset in nn_op) of each."""
    cdef list found = []
    cdef int i = 0
    while f[i].name != NULL:
        found.append((f[i].name.decode(), f[i].role.decode(), f[i].offset))
        i += 1
    return tuple(found)


cdef tuple declared(int kind):
    """(name, pattern, fusion, flops, fields) of an operation."""
    cdef nn_declaration d = nn_declared(kind)
    return d.name.decode(), d.pattern.decode(), d.fusion.decode(), d.flops, fields(d.fields)


cdef dict numbers(const nn_number *list):
    """Offset in a struct and interval of each number, by name; the interval of a flag is None."""
    cdef dict found = {}
    while list.name != NULL:
        found[list.name.decode()] = (list.offset, list.interval.decode() if list.interval != NULL else None)
        list += 1
    return found


cdef dict optimizers():
    """The optimizers by name: id, state arrays, and hyper-parameters with the bytes of their struct."""
    cdef dict found = {}
    cdef nn_optimizer o = nn_optimizer_at(0)
    while o.name != NULL:
        found[o.name.decode()] = (len(found), tuple(names(o.states)), numbers(o.numbers), o.size)
        o = nn_optimizer_at(<int> len(found))
    return found


PRECISIONS = ids(nn_precision_names)
ACTIVATIONS = ids(nn_activation_names)
ACTIVATION_PARAMETERS = parameters(nn_activation_names, nn_activation_parameters)
LOSS_PARAMETERS = parameters(nn_loss_names, nn_loss_parameters)
METRIC_PARAMETERS = parameters(nn_metric_names, nn_metric_parameters)
PARAMETERS = NN_PARAMETERS
ACTIVATION_SAVED = dict(zip(names(nn_activation_names), names(nn_activation_saved)))
CONSTRAINTS = ids(nn_constraint_names)
ROWWISE = ids(nn_rowwise_names)
ROWWISE_SAVED = dict(zip(names(nn_rowwise_names), names(nn_rowwise_saved)))
LOSSES = ids(nn_loss_names)
LOSS_TARGETS = dict(zip(names(nn_loss_names), names(nn_loss_targets)))
LOSS_FORMS = dict(zip(names(nn_loss_names), names(nn_loss_forms)))
METRICS = ids(nn_metric_names)
TALLIES = ids(nn_tally_names)
TALLY_PARAMETERS = parameters(nn_tally_names, nn_tally_parameters)
METRIC_TARGETS = dict(zip(names(nn_metric_names), names(nn_metric_targets)))
OPTIMIZERS = {name: o[0] for name, o in optimizers().items()}
STATES = {name: o[1] for name, o in optimizers().items()}          # names of each one's state arrays, in order
NUMBERS = {name: o[2] for name, o in optimizers().items()}         # of its hyper-parameters: offset, interval
NUMBERS_BYTES = {name: o[3] for name, o in optimizers().items()}   # of the struct that holds them
RULE_NUMBERS = numbers(nn_rule_numbers)                            # what every optimizer is told, likewise
SOURCES = ids(nn_source_names)
SOURCE_BYTES = [int(name.strip("uintfloa")) // 8 for name in SOURCES]   # of an element, by type
FUNCTIONS = ids(nn_function_names)
PATTERNS = ids(nn_pattern_names)
SECTIONS = ids(nn_section_names)
MOVING = NN_MOVING
BUFFERS = ids(nn_buffer_names) | {"moving": NN_BUFFER_moving, "binding": NN_BUFFER_binding}
BUFFERS |= {f"state {i}.{k}": BUFFERS["state"] + i * NN_STATES + k for i in range(NN_RULES) for k in range(NN_STATES)}
BINDINGS = NN_BINDINGS
SCHEDULED = {"learning_rate": NN_LEARNING_RATE, "weight_decay": NN_WEIGHT_DECAY}
OWN_SCHEDULED = NN_OWN_SCHEDULED
RULES = NN_RULES
MOST_STATES = NN_STATES
OPERATION_HEAD = {name: offset for name, _, offset in fields(nn_op_head)}   # what all operations have
OPERATIONS = tuple(declared(kind) for kind in range(NN_OPERATIONS))   # by id
CHUNK_ROWS = NN_CHUNK_ROWS
SUM_ROWS, SUM_CHAINS = NN_SUM_ROWS, NN_SUM_CHAINS
MANY_ROWS = NN_MANY_ROWS
WINDOWS, WINDOW_GRADIENTS = NN_WINDOWS, NN_WINDOW_GRADIENTS
BAND_REALS, LINE_WINDOWS, WINDOW_PLACES = NN_BAND_REALS, NN_LINE_WINDOWS, NN_WINDOW_PLACES
POINTS, SIDE_REALS = NN_POINTS, NN_SIDE_REALS
MOMENTS = NN_MOMENTS
PACK_ROWS = NN_PACK_ROWS
OPERATION_BYTES = sizeof(nn_op)
CHUNK_BYTES = sizeof(nn_chunk)
ACCUMULATOR_BYTES = sizeof(nn_accumulator)
SECTION_BYTES = sizeof(nn_section)
MOVING_BYTES = sizeof(nn_moving)


def available():
    """Yield the names of the instruction sets that this build holds and this CPU runs, weakest first.

    Each is looked at when it is reached: amx asks the system for its tiles, which a process without need should not.
    """
    cdef int level = 0
    while nn_table_runs(level):
        yield nn_table_at(level, 32).isa.decode()
        level += 1


def strongest():
    """Name of the last of `available()` that is no slower on this CPU than the one before."""
    return [name for level, name in enumerate(available()) if nn_table_pays(level)][-1]


cdef class Table:
    """The kernels of one instruction set for one type.

    Parameters
    ----------
    isa : str
        One of `available()`.
    dtype : {"float32", "float64"}
    """

    def __cinit__(self, str isa, str dtype):
        for level, name in enumerate(available()):
            if name == isa:
                self.c = nn_table_at(level, {"float32": 32, "float64": 64}[dtype])
                return
        raise ValueError(f"isa: expected one of {list(available())}, got {isa!r}")

    @property
    def isa(self):
        return self.c.isa.decode()

    @property
    def dtype(self):
        return "float32" if self.c.itemsize == 4 else "float64"

    @property
    def lanes(self):
        return self.c.lanes

    @property
    def tile(self):
        """Rows and columns of the product's tile."""
        return self.c.mr[0], self.c.nr

    def arithmetic(self, str precision):
        """What products of a precision multiply: "float32", "bfloat16", …."""
        return self.c.arithmetic[<int> PRECISIONS[precision]].decode()

    def packed_bytes(self, str precision, bint transposed, nn_index inputs, nn_index outputs, nn_index rows=0):
        """Bytes of a packed copy of weights (inputs,outputs) for X W or, transposed, dY Wᵀ; 0: none is of use."""
        return self.c.packed_bytes(PRECISIONS[precision], transposed, rows, inputs, outputs)

    def __reduce__(self):
        return Table, (self.isa, self.dtype)


cdef class View:
    """A contiguous array's memory, held while this object lives."""

    def __cinit__(self):
        self.held = False

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.buffer)


cdef Numbers parameter_numbers(object given):
    """The parameters of an activation or a loss, up to NN_PARAMETERS of them; others are 0."""
    cdef Numbers n
    cdef int i
    if len(given) > NN_PARAMETERS:
        raise ValueError(f"parameters: expected at most {NN_PARAMETERS}, got {len(given)}")
    for i in range(NN_PARAMETERS):
        n.all[i] = given[i] if i < len(given) else 0
    return n


cdef View view(object array, Table table=None, bint writable=False):
    """Hold `array`, of the table's type if one is given; contiguous, and writable where asked."""
    cdef View v = View.__new__(View)
    PyObject_GetBuffer(array, &v.buffer, PyBUF_ANY_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
    v.held = True
    v.data = <char *> v.buffer.buf
    v.itemsize = v.buffer.itemsize
    v.size = v.buffer.len // v.itemsize if v.itemsize else 0
    if table is not None and v.buffer.format[0] != (c'f' if table.c.itemsize == 4 else c'd'):
        raise TypeError(f"expected an array of {table.dtype}, got format {v.buffer.format.decode()!r}")
    return v


cdef nn_row row_of(nn_index n, int type, axes):
    """Where the n elements of a row lie: up to 3 (count, step in bytes), innermost last; None: one after another."""
    cdef nn_row row
    cdef int d
    axes = axes if axes is not None else [(n, SOURCE_BYTES[type])]
    axes = [(1, 0)] * (3 - len(axes)) + list(axes)
    row.n = 1
    for d in range(3):
        row.count[d], row.step[d] = axes[d]
        row.n *= row.count[d]
    if row.n != n:
        raise ValueError(f"axes: expected {n} elements, got {row.n}")
    return row


cdef void *room(size_t size) except NULL:
    """Memory on a cache line's boundary, for who writes before reading: pages that nobody touches cost nothing."""
    cdef void *p = nn_room(size)
    if p == NULL:
        raise MemoryError(f"cannot allocate {size} bytes for a run")
    return p


cdef void *aligned(size_t size) except NULL:
    """Zeroed memory on a cache line's boundary."""
    cdef void *p = room(size)
    memset(p, 0, size)
    return p


def permutation(uint64_t seed, uint64_t stream, out):
    """Fill the int64 array `out` with a shuffle of 0 … n−1, the same for a (seed, stream); signals end it."""
    cdef View v = view(out, None, True)
    cdef uint64_t[2] key
    cdef nn_shuffle shuffle
    cdef bint done = False
    if v.itemsize != 8:
        raise TypeError("out: expected an array of int64")
    key[0] = seed
    key[1] = stream
    with nogil:
        nn_shuffle_begin(&shuffle, key, v.size, <int64_t *> v.data)
    while not done:
        with nogil:
            done = nn_shuffle_advance(&shuffle, SHUFFLED)
        PyErr_CheckSignals()
