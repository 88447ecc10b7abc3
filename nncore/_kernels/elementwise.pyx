"""Activations, dropout and arithmetic of whole arrays, on the calling thread: for functions, tests and benchmarks."""

from libc.stdint cimport uint64_t

from nncore._kernels.table cimport (
    Numbers, Table, View, nn_float_mode, nn_float_mode_enter, nn_float_mode_leave, nn_index, parameter_numbers, view,
)
from nncore._kernels.table import ACTIVATIONS, FUNCTIONS, ROWWISE


def apply_activation(Table table, str name, z, out, parameters=(), Py_ssize_t cols=-1, Py_ssize_t ld=-1):
    """out = f(z), elementwise; as rows of `cols` elements that lie `ld` apart where these are given."""
    cdef nn_float_mode callers
    cdef View vz = view(z, table), vy = view(out, table, True)
    cdef int which = ACTIVATIONS[name]
    cdef Numbers taken = parameter_numbers(parameters)
    cdef nn_index n = vz.size if cols < 0 else cols, step = n if ld < 0 else ld
    cdef nn_index rows = 0 if vz.size == 0 else (1 if step == 0 else up_rows(vz.size, n, step))
    with nogil:
        callers = nn_float_mode_enter()
        table.c.activate[which](rows, n, vz.data, step, vy.data, step, taken.all)
        nn_float_mode_leave(callers)


cdef nn_index up_rows(nn_index size, nn_index cols, nn_index ld):
    return (size - cols) // ld + 1


def apply_activation_backward(Table table, str name, saved, dy, out, parameters=()):
    """out = dy ⊙ f′(saved), elementwise; `saved` holds Y or Z as kernels.def says."""
    cdef nn_float_mode callers
    cdef View vk = view(saved, table), vd = view(dy, table), vo = view(out, table, True)
    cdef int which = ACTIVATIONS[name]
    cdef Numbers taken = parameter_numbers(parameters)
    with nogil:
        callers = nn_float_mode_enter()
        table.c.activate_backward[which](1, vk.size, vk.data, vk.size, vd.data, vk.size, vo.data, vk.size,
                                           taken.all)
        nn_float_mode_leave(callers)


def apply_rowwise(Table table, str name, z, out, Py_ssize_t rows):
    """out (rows,m) = f(z), z (rows,n), row by row."""
    cdef nn_float_mode callers
    cdef View vz = view(z, table), vo = view(out, table, True)
    cdef int which = ROWWISE[name]
    with nogil:
        callers = nn_float_mode_enter()
        table.c.rowwise[which](rows, vz.size // rows if rows else 0, vz.data, vo.data)
        nn_float_mode_leave(callers)


def apply_rowwise_backward(Table table, str name, saved, dy, out, Py_ssize_t rows):
    """out (rows,n) = dz of dy (rows,m), row by row; `saved` holds Y or Z as kernels.def says."""
    cdef nn_float_mode callers
    cdef View vk = view(saved, table), vd = view(dy, table), vo = view(out, table, True)
    cdef int which = ROWWISE[name]
    with nogil:
        callers = nn_float_mode_enter()
        table.c.rowwise_backward[which](rows, vo.size // rows if rows else 0, vk.data, vd.data, vo.data)
        nn_float_mode_leave(callers)


def apply_dropout(Table table, x, out, double rate, uint64_t first, uint64_t key_0, uint64_t key_1):
    """out = x ⊙ mask / (1 − rate), the mask of elements first, first + 1, …"""
    cdef nn_float_mode callers
    cdef View vx = view(x, table), vo = view(out, table, True)
    cdef uint64_t[2] key
    key[0], key[1] = key_0, key_1
    with nogil:
        callers = nn_float_mode_enter()
        table.c.dropout(vx.size, first, key, rate, vx.data, vo.data)
        nn_float_mode_leave(callers)


def apply_add(Table table, a, b, out):
    """out = a + b."""
    cdef nn_float_mode callers
    cdef View va = view(a, table), vb = view(b, table), vo = view(out, table, True)
    with nogil:
        callers = nn_float_mode_enter()
        table.c.add(va.size, va.data, vb.data, vo.data)
        nn_float_mode_leave(callers)


def apply_multiply(Table table, a, b, out):
    """out = a ⊙ b."""
    cdef nn_float_mode callers
    cdef View va = view(a, table), vb = view(b, table), vo = view(out, table, True)
    with nogil:
        callers = nn_float_mode_enter()
        table.c.multiply(va.size, va.data, vb.data, vo.data)
        nn_float_mode_leave(callers)


def apply_rescale(Table table, x, out, double scale, double offset):
    """out = scale x + offset."""
    cdef nn_float_mode callers
    cdef View vx = view(x, table), vo = view(out, table, True)
    with nogil:
        callers = nn_float_mode_enter()
        table.c.rescale(vx.size, scale, offset, vx.data, vo.data)
        nn_float_mode_leave(callers)


def apply_function(Table table, str name, x, out):
    """out = the vector math function `name` of x."""
    cdef nn_float_mode callers
    cdef View vx = view(x, table), vo = view(out, table, True)
    cdef int which = FUNCTIONS[name]
    with nogil:
        callers = nn_float_mode_enter()
        table.c.function[which](vx.size, vx.data, vo.data)
        nn_float_mode_leave(callers)
