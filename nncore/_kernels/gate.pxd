from nncore._kernels.table cimport nn_gate


cdef class Gate:
    cdef nn_gate *c
    cdef dict reads
    cdef object __weakref__

    cpdef int own(self)
    cdef bint enter(self, double seconds)
    cdef leave(self)
    cdef survive(self)
