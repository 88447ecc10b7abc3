"""Features of the columns of a table."""


cdef extern from "core/features.h" nogil:
    ctypedef struct nn_features:
        Py_ssize_t n, numbers, indicators
        const Py_ssize_t *column
        const double *scaling
        double clip
    Py_ssize_t nn_make_features(const nn_features *of, Py_ssize_t rows, Py_ssize_t columns, const double *values,
                                float *features)


def features(const double[:, ::1] values, const Py_ssize_t[::1] column, const double[:, ::1] scaling,
             Py_ssize_t numbers, Py_ssize_t indicators, double clip, float[:, ::1] out):
    """Write the features of rows to `out`; the first column that has an infinite number, or −1. See features.h."""
    cdef Py_ssize_t rows = values.shape[0], n = column.shape[0], infinite
    cdef nn_features of
    assert out.shape[0] == rows and out.shape[1] == n and scaling.shape[0] == 4 and scaling.shape[1] == n
    assert 0 <= numbers <= indicators <= n
    if rows == 0 or n == 0:
        return -1
    of = nn_features(n, numbers, indicators, &column[0], &scaling[0, 0], clip)
    with nogil:
        infinite = nn_make_features(&of, rows, values.shape[1], &values[0, 0], &out[0, 0])
    return infinite
