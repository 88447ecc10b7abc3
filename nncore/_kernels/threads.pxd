cdef int team_size(int wanted) except -1
