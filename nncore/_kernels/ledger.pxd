cdef class Ledger:
    cdef double pace, balance, rest, until
    cpdef bint pays(self, double work, double now)
    cpdef object settle(self, double work, double pace, double began, double ended)
