"""Sparse matrices by rows (scipy's CSR), of which rows are made dense batch by batch."""

from __future__ import annotations

from typing import Any

import numpy as np


class SparseRows:
    """A matrix in CSR form: row i has ``data[indptr[i]:indptr[i + 1]]`` in the columns ``indices[…]``, else 0.

    Indexed by rows (a slice, an array of numbers, or one number) it gives these as a dense array.

    Parameters
    ----------
    data, indices, indptr : ndarray
        No column twice in a row.
    columns : int
    """

    ndim = 2

    def __init__(self, data: Any, indices: Any, indptr: Any, columns: int) -> None:
        self.data, self.indices, self.indptr = data, indices, indptr
        self.shape = len(indptr) - 1, columns
        self.dtype = data.dtype

    @classmethod
    def of(cls, matrix: Any, argument: str) -> SparseRows:
        """One of scipy's matrices or arrays, whose own arrays are used where it is of this form."""
        csr = matrix.tocsr()
        if not getattr(csr, "has_canonical_format", True):
            csr = csr.copy()
            csr.sum_duplicates()
        if csr.dtype.kind not in "biuf":
            raise TypeError(f"{argument}: expected real numbers, got a sparse matrix of dtype {csr.dtype}")
        return cls(csr.data, csr.indices, csr.indptr, int(csr.shape[1]))

    @property
    def nbytes(self) -> int:
        """Of its arrays."""
        return int(self.data.nbytes + self.indices.nbytes + self.indptr.nbytes)

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, rows: slice) -> SparseRows:
        """Some rows, one after another, as they are: of the same arrays."""
        start, stop, _ = rows.indices(len(self))
        return SparseRows(self.data, self.indices, self.indptr[start : max(start, stop) + 1], self.shape[1])

    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, (int, np.integer)):
            return self[np.array([rows])][0]
        numbers = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        first = self.indptr[numbers].astype(np.int64)
        counts = self.indptr[numbers + 1] - first
        ends = np.cumsum(counts)
        places = np.repeat(first - (ends - counts), counts) + np.arange(ends[-1] if len(ends) else 0)
        dense = np.zeros((len(numbers), self.shape[1]), self.dtype)
        dense[np.repeat(np.arange(len(numbers)), counts), self.indices[places]] = self.data[places]
        return dense
