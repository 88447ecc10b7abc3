"""Fingerprints of texts, the same on every machine."""

from libc.stdint cimport int64_t, uint64_t

import numpy as np


cdef extern from "core/fingerprint.h" nogil:
    uint64_t nn_fingerprint(const void *bytes, size_t n)
    uint64_t nn_keyed_fingerprint(uint64_t key0, uint64_t key1, const void *bytes, size_t n)
    uint64_t nn_joined_fingerprint(uint64_t a, uint64_t b)

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *n) except NULL


def fingerprints(list texts, key=None):
    """Of each str its fingerprint, as UTF-8: FarmHash's, or SipHash's by a key of two whole numbers."""
    cdef Py_ssize_t i, n, count = len(texts)
    cdef const char *bytes
    cdef uint64_t key0 = 0, key1 = 0
    cdef bint keyed = key is not None
    out = np.empty(count, np.uint64)
    cdef uint64_t[::1] found = out
    if keyed:
        key0, key1 = [int(part) % 2**64 for part in key]
    for i in range(count):
        bytes = PyUnicode_AsUTF8AndSize(texts[i], &n)
        if keyed:
            found[i] = nn_keyed_fingerprint(key0, key1, bytes, <size_t> n)
        else:
            found[i] = nn_fingerprint(bytes, <size_t> n)
    return out


def joined(uint64_t first, list columns):
    """Of each row one fingerprint, joined to `first` by those of its columns, arrays of uint64, one after another."""
    cdef Py_ssize_t i
    cdef const uint64_t[::1] column
    out = np.full(len(columns[0]), first, np.uint64)
    cdef uint64_t[::1] found = out
    for column in columns:
        for i in range(found.shape[0]):
            found[i] = nn_joined_fingerprint(found[i], column[i])
    return out
