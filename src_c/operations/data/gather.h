/* gather.h: rows of a data set in memory, copied to a batch of `real` (or of int32) and converted.
 *
 * Row r of the batch is row index[r] of the data, which lies anywhere in a matrix larger than the caches, so
 * its lines are asked for some rows ahead, those of the next batch at the end of this one. Elements may be
 * misaligned (a field of a packed record).
 * A row may be a view: a window of a series, an image with its axes exchanged, every second column.
 * Integers round to the nearest real. Only float64 → float32 can overflow: results are looked at a few rows at
 * a time, while they are in cache, and compared with their sources only where one is not finite.
 */
#ifndef NNCORE_GATHER_H
#define NNCORE_GATHER_H

#include "vectors/lanes.h"

enum {
    AHEAD_BYTES = 8192, /* asked for before they are used: a small batch arrives while the one before it is computed */
    CHECKED = 2048,     /* elements between two looks */
};

INLINE const char *row_of(const void *x, nn_index stride, const int64_t *index, nn_index r) {
    return (const char *)x + (index ? (nn_index)index[r] : r) * stride;
}

INLINE nn_index rows_ahead(nn_index bytes) { return 1 + AHEAD_BYTES / (bytes + 1); }

INLINE int contiguous(const nn_row *row, nn_index itemsize) {
    return row->count[2] == row->n && row->step[2] == itemsize;
}

/* Of each axis as many elements as lie on lines of their own. Not inlined, nor is what else is for views: the loops
 * over contiguous rows would have no registers left. */
static __attribute__((noinline)) void prefetch_view(const char *x, const nn_row *row) {
    nn_index skip[3];
    for (int d = 0; d < 3; d++) {
        const nn_index step = row->step[d] < 0 ? -row->step[d] : row->step[d];
        skip[d] = step && step < LINE_BYTES ? LINE_BYTES / step : step ? 1 : row->count[d];
    }
    for (nn_index a = 0; a < row->count[0]; a += skip[0])
        for (nn_index b = 0; b < row->count[1]; b += skip[1])
            for (nn_index c = 0; c < row->count[2]; c += skip[2])
                __builtin_prefetch(x + a * row->step[0] + b * row->step[1] + c * row->step[2]);
}

/* Where element j of a row lies. */
static __attribute__((noinline)) nn_index offset_of(const nn_row *row, nn_index j) {
    const nn_index c = j % row->count[2], ab = j / row->count[2];
    return ab / row->count[1] * row->step[0] + ab % row->count[1] * row->step[1] + c * row->step[2];
}

typedef real vf_bytes __attribute__((vector_size(VECTOR_BYTES), aligned(1), may_alias));

/* By vectors, as a call of memcpy per row shows in a tiny step: (16,8) rows with their fetching 216 → 129 ns. */
INLINE void copy_row(nn_index n, const void *x, real *y) {
    nn_index j = 0;
    for (; j + LANES <= n; j += LANES) vstore(y + j, *(const vf_bytes *)((const real *)x + j));
    if (j < n) store_some(y + j, n - j, load_some((const real *)x + j, n - j));
}

typedef void (*converter)(nn_index n, const char *x, nn_index step, real *y);
typedef void (*view_converter)(const nn_row *row, const char *x, real *y);
typedef double (*element_of)(const char *x);

INLINE void convert_view(const nn_row *row, const char *x, real *y, converter convert) {
    for (nn_index a = 0; a < row->count[0]; a++)
        for (nn_index b = 0; b < row->count[1]; b++, y += row->count[2])
            convert(row->count[2], x + a * row->step[0] + b * row->step[1], row->step[2], y);
}

INLINE nn_index gather_rows(nn_index rows, const nn_row *row, const void *x, nn_index stride, const int64_t *index,
                            nn_index known, real *y, nn_index itemsize, converter convert, view_converter convert_rows,
                            int may_overflow, element_of element) {
    const nn_index n = row->n, ahead = rows_ahead(n * itemsize), group = 1 + CHECKED / (n + 1);
    const nn_index fetched = index ? known - ahead : 0; /* rows that have another so far ahead of them */
    const int whole = contiguous(row, itemsize);
    for (nn_index r = 0; r < rows; r++) {
        const char *at = row_of(x, stride, index, r);
        if (r < fetched) {
            const char *next = row_of(x, stride, index, r + ahead);
            whole ? fetch_row(next, n * itemsize) : prefetch_view(next, row);
        }
        if (whole)
            convert(n, at, itemsize, y + r * n);
        else
            convert_rows(row, at, y + r * n);
        if (may_overflow && (r % group == group - 1 || r == rows - 1)) {
            const nn_index first = r - r % group;
            if (any_nonfinite(1, (r + 1 - first) * n, y + first * n, 0))
                for (nn_index i = first; i <= r; i++)
                    for (nn_index j = 0; j < n; j++)
                        if (isinf(y[i * n + j]) && !isinf(element(row_of(x, stride, index, i) + offset_of(row, j))))
                            return i;
        }
    }
    return -1;
}

INLINE nn_index gather_integers(nn_index rows, const nn_row *row, const void *x, nn_index stride,
                                const int64_t *index, nn_index known, int64_t low, int64_t high, int32_t *y,
                                nn_index itemsize, element_of element) {
    const nn_index n = row->n, ahead = rows_ahead(n * itemsize);
    const nn_index fetched = index ? known - ahead : 0;
    const int whole = contiguous(row, itemsize); /* no divisions of offset_of: 50 ns of a step of 8-32-32-2, 2.7 µs */
    const double begin = low > INT32_MIN ? (double)low : -0x1p31, end = high < INT32_MAX ? (double)high : 0x1p31;
    for (nn_index r = 0; r < rows; r++) {
        const char *at = row_of(x, stride, index, r);
        if (r < fetched) {
            const char *next = row_of(x, stride, index, r + ahead);
            whole ? fetch_row(next, n * itemsize) : prefetch_view(next, row);
        }
        for (nn_index j = 0; j < n; j++) {
            const double value = element(at + (whole ? j * itemsize : offset_of(row, j))); /* exact below 2⁵³ */
            if (!(value >= begin && value < end && value == (double)(int32_t)value)) return r; /* nan fails */
            *y++ = (int32_t)value;
        }
    }
    return -1;
}

#define IS_FLOATING(type) ((type)0.5 != 0)

#define SOURCE(name, type)                                                                                            \
    typedef type any_##name __attribute__((aligned(1), may_alias));                                                   \
    INLINE void convert_##name(nn_index n, const char *x, nn_index step, real *restrict y) {                          \
        if (step != sizeof(type))                                                                                     \
            for (nn_index j = 0; j < n; j++) y[j] = (real) * (const any_##name *)(x + j * step);                      \
        else if (IS_FLOATING(type) && sizeof(type) == sizeof(real))                                                   \
            copy_row(n, x, y);                                                                                        \
        else                                                                                                          \
            for (nn_index j = 0; j < n; j++) y[j] = (real)((const any_##name *)x)[j];                                 \
    }                                                                                                                 \
    INLINE double element_##name(const char *x) { return (double)*(const any_##name *)x; }                            \
    static __attribute__((noinline)) void convert_view_##name(const nn_row *row, const char *x, real *y) {             \
        convert_view(row, x, y, convert_##name);                                                                      \
    }                                                                                                                 \
    static nn_index gather_##name(nn_index rows, const nn_row *row, const void *x, nn_index stride,                   \
                                  const int64_t *index, nn_index known, void *y) {                                    \
        return gather_rows(rows, row, x, stride, index, known, y, sizeof(type), convert_##name, convert_view_##name,  \
                           IS_FLOATING(type) && sizeof(type) > sizeof(real), element_##name);                         \
    }                                                                                                                 \
    static nn_index gather_integers_##name(nn_index rows, const nn_row *row, const void *x, nn_index stride,          \
                                           const int64_t *index, nn_index known, int64_t low, int64_t high,           \
                                           int32_t *y) {                                                              \
        return gather_integers(rows, row, x, stride, index, known, low, high, y, sizeof(type), element_##name);       \
    }
#include "kernels.def"

/* Nothing where rows can be read in place, or the caller fills the batch. */
SPAN(gather) {
    const nn_binding *s = &run->bindings[op->binding];
    if (s->in_place || !s->data) return;
    const nn_index row = run->row + first, known = run->rows - row;
    const int64_t *order = run->order ? run->order + row : NULL;
    const char *data = order ? s->data : s->data + row * s->stride;
    const int integers = s->low < s->high;
    char *y = (char *)nn_at(run, op->X) + first * op->n * (nn_index)(integers ? sizeof(int32_t) : sizeof(real));
    const nn_table *const t = run->table;
    const nn_index bad =
        integers ? t->gather_integers[s->type](count, &s->row, data, s->stride, order, known, s->low, s->high,
                                               (int32_t *)y)
                 : t->gather[s->type](count, &s->row, data, s->stride, order, known, y);
    if (bad >= 0) nn_note_bad(run, row + bad, op->binding);
}

SPAN(convert) {
    const int32_t *x = (const int32_t *)nn_at(run, op->X) + first;
    real *y = at(run, op->Y, first);
    for (nn_index i = 0; i < count; i++) y[i] = (real)x[i];
}

#endif
