/* losses.h: losses and their gradients, and metrics, over the rows of a batch. Formulas are those of Keras 3.
 *
 * Elementwise ones, Σ over a row of term(p, t) / n, run over the batch as one flat array whatever n is, a tile
 * at a time: vectors stay full for n = 1, and an element's bits do not depend on its lane.
 * Softmax crossentropies take d = x − max x and s = Σ exp d of each row, one exp per element:
 *     loss = Σt log s − Σ t d,   ∂loss/∂x = Σt exp(d)/s − t,
 * which overflows for no finite x; a narrow row lies in one lane, a wide one across the lanes.
 * The losses of rows are added in float64, in order.
 */
#ifndef NNCORE_LOSSES_H
#define NNCORE_LOSSES_H

#include "vectors/lanes.h"
#include "vectors/vecmath.h"

INLINE real weight_of(const nn_loss *a, nn_index row) { return a->weight ? ((const real *)a->weight)[row] : 1; }

INLINE double sum_row(const real *x, nn_index n) { /* order: n */
    double sum = 0;
    if (n < LANES) {
        for (nn_index j = 0; j < n; j++) sum += (double)x[j];
        return sum;
    }
    vd c = {0};
    for (nn_index j = 0; j < n; j += LANES) c += fold(load_some(x + j, n - j));
    return across_total(c);
}

typedef struct term { vf value, slope, prob; } term; /* of one element: loss, ∂loss/∂p, sigmoid(p) */
typedef term (*term_of)(vf p, vf t, const vf *parameters);

enum { LOSS_TILE = 512 }; /* elements */

INLINE double sum_terms(const nn_loss *a, term_of of) {
    const real *p = a->p, *t = a->target;
    real *grad = a->grad, *prob = a->prob;
    const nn_index n = a->n;
    if (n == 0) return 0;
    const spread s = in_all_lanes(a->parameters);
    const real share = (real)(a->scale / (double)n);
    real value[LOSS_TILE], factor[LOSS_TILE];
    double total = 0;

    /* A tile is some whole rows, or a part of one long row. */
    const nn_index tile_rows = n < LOSS_TILE ? LOSS_TILE / n : 1;
    for (nn_index row = 0; row < a->rows; row += tile_rows)
        for (nn_index col = 0; col < n; col += LOSS_TILE) {
            const nn_index rows = a->rows - row < tile_rows ? a->rows - row : tile_rows;
            const nn_index cols = n - col < LOSS_TILE ? n - col : LOSS_TILE;
            const nn_index first = row * n + col, count = rows * cols;
            if (grad)
                for (nn_index r = 0; r < rows; r++)
                    for (nn_index j = 0; j < cols; j++) factor[r * cols + j] = share * weight_of(a, row + r);
            for (nn_index i = 0; i < count; i += LANES) {
                const nn_index left = count - i;
                const term e = of(load_some(p + first + i, left), load_some(t + first + i, left), s.p);
                store_some(value + i, left, e.value);
                if (grad) store_some(grad + first + i, left, load_some(factor + i, left) * e.slope);
                if (prob) store_some(prob + first + i, left, e.prob);
            }
            for (nn_index r = 0; r < rows; r++)
                total += (double)weight_of(a, row + r) * sum_row(value + r * cols, cols);
        }
    return total / (double)n;
}

INLINE term squared_error(vf p, vf t, const vf *parameters UNUSED) {
    const vf d = p - t;
    return (term){.value = d * d, .slope = 2 * d};
}

INLINE term absolute_error(vf p, vf t, const vf *parameters UNUSED) {
    const vf d = p - t, one = vset(1);
    return (term){.value = vabs(d), .slope = vselect(d > 0, one, vselect(d < 0, -one, d))}; /* d: 0 or nan */
}

/* Huber 1964: d²/2 near 0, δ(|d| − δ/2) beyond δ; with c = min(|d|, δ) both are c(|d| − c/2). */
INLINE term huber_error(vf p, vf t, const vf *parameters) {
    const vf delta = parameters[0], d = p - t, c = vmin(delta, vabs(d)); /* nan stays */
    return (term){.value = c * (vabs(d) - (real)0.5 * c), .slope = vmax(-delta, vmin(delta, d))};
}

/* −t log q − (1 − t) log(1 − q) with q = p clipped to [ε, 1 − ε]; flat where p is clipped. */
INLINE term binary_crossentropy_of(vf p, vf t, const vf *parameters UNUSED) {
    const vf low = vset((real)1e-7), high = vset((real)(1 - 1e-7)), zero = {0};
    const vf q = vmin(high, vmax(low, p)); /* nan stays */
    return (term){.value = -(t * vlog(q) + (1 - t) * vlog1p(-q)),
                  .slope = vselect((p < low) | (p > high), zero, (q - t) / (q * (1 - q)))};
}

/* The same of q = sigmoid(x): max(x, 0) − x t + log(1 + exp(−|x|)). */
INLINE term binary_crossentropy_logits_of(vf x, vf t, const vf *parameters UNUSED) {
    const vf e = vexp(-vabs(x)), inverse = 1 / (1 + e), zero = {0};
    const vf q = vselect(x < 0, e * inverse, inverse);
    return (term){.value = vmax(zero, x) - x * t + vlog1p_unit(e), .slope = q - t, .prob = q};
}

static double loss_mean_squared_error(const nn_loss *a) { return sum_terms(a, squared_error); }
static double loss_mean_absolute_error(const nn_loss *a) { return sum_terms(a, absolute_error); }
static double loss_huber(const nn_loss *a) { return sum_terms(a, huber_error); }
static double loss_binary_crossentropy(const nn_loss *a) { return sum_terms(a, binary_crossentropy_of); }
static double loss_binary_crossentropy_logits(const nn_loss *a) { return sum_terms(a, binary_crossentropy_logits_of); }

enum { FEW_CLASSES = 16 };

INLINE vf weighted(vf t, vf d) { return vselect(t != 0, t * d, (vf){0}); } /* 0 × −inf is 0 */

/* LANES rows of n elements ↔ n vectors, element j of row r in lane r of vector j; lanes without a row are 0. */
INLINE void rows_to_lanes(nn_index rows, nn_index n, const real *x, vf *y) {
    real *to = (real *)y;
    if (rows < LANES) memset(to, 0, (size_t)n * VECTOR_BYTES);
    for (nn_index r = 0; r < rows; r++)
        for (nn_index j = 0; j < n; j++) to[j * LANES + r] = x[r * n + j];
}

INLINE void lanes_to_rows(nn_index rows, nn_index n, const vf *x, real *y) {
    const real *from = (const real *)x;
    for (nn_index r = 0; r < rows; r++)
        for (nn_index j = 0; j < n; j++) y[r * n + j] = from[j * LANES + r];
}

/* n ≤ FEW_CLASSES: a row in each lane, so that nothing crosses lanes. t is one-hot where `sparse`. */
INLINE double sum_softmax_narrow(const nn_loss *a, int sparse) {
    const nn_index n = a->n;
    const vf zero = {0}, one = vset(1);
    vf e[FEW_CLASSES], t[FEW_CLASSES];
    union { vi all; integer each[LANES]; } label = {{0}};
    double total = 0;
    for (nn_index row = 0; row < a->rows; row += LANES) {
        const nn_index rows = a->rows - row < LANES ? a->rows - row : LANES, first = row * n;
        const vf weight = a->weight ? load_some((const real *)a->weight + row, rows) : one;
        rows_to_lanes(rows, n, (const real *)a->p + first, e);
        if (sparse)
            for (nn_index r = 0; r < rows; r++) {
                label.each[r] = ((const int32_t *)a->target)[row + r];
                assert(label.each[r] >= 0 && label.each[r] < n);
            }
        else
            rows_to_lanes(rows, n, (const real *)a->target + first, t);

        vf m = e[0], s = zero, sum_t = zero, sum_td = zero;
        for (nn_index j = 1; j < n; j++) m = vmax(m, e[j]);
        for (nn_index j = 0; j < n; j++) {
            const vf d = e[j] - m;
            if (sparse) t[j] = vselect(label.all == (integer)j, one, zero);
            sum_t += t[j];
            sum_td += weighted(t[j], d);
            e[j] = vexp(d);
            s += e[j];
        }
        real loss[LANES];
        vstore(loss, sum_t * vlog(s) - sum_td);
        for (nn_index r = 0; r < rows; r++) total += (double)weight_of(a, row + r) * (double)loss[r];

        const vf inverse = 1 / s, factor = (real)a->scale * weight;
        for (nn_index j = 0; j < n; j++) {
            e[j] *= inverse;
            t[j] = factor * (sum_t * e[j] - t[j]);
        }
        if (a->grad) lanes_to_rows(rows, n, t, (real *)a->grad + first);
        if (a->prob) lanes_to_rows(rows, n, e, (real *)a->prob + first);
    }
    return total;
}

/* Any n: the lanes share a row, whose exponentials wait in the row of grad or prob. */
INLINE double sum_softmax_wide(const nn_loss *a, int sparse) {
    const nn_index n = a->n;
    const vf lowest = vset(-(real)INFINITY), zero = {0}, one = vset(1);
    double total = 0;
    for (nn_index row = 0; row < a->rows; row++) {
        const real *x = (const real *)a->p + row * n, *t = sparse ? NULL : (const real *)a->target + row * n;
        real *grad = a->grad ? (real *)a->grad + row * n : NULL, *prob = a->prob ? (real *)a->prob + row * n : NULL;
        real *wait = grad ? grad : prob;
        const int32_t label = sparse ? ((const int32_t *)a->target)[row] : 0;
        assert(label >= 0 && label < n);

        vf m = lowest, s = zero, sum_t = zero, sum_td = zero;
        for (nn_index j = 0; j < n; j += LANES) m = vmax(m, keep_some(load_some(x + j, n - j), n - j, lowest));
        m = across_max(m);
        const double d_label = (double)x[label] - (double)m[0];
        for (nn_index j = 0; j < n; j += LANES) {
            const nn_index left = n - j;
            const vf d = keep_some(load_some(x + j, left) - m, left, zero);
            const vf e = keep_some(vexp(d), left, zero);
            s += e;
            if (!sparse) {
                const vf tj = load_some(t + j, left);
                sum_t += tj;
                sum_td += weighted(tj, d);
            }
            if (wait) store_some(wait + j, left, e);
        }
        s = across_sum(s);
        sum_t = sparse ? one : across_sum(sum_t);
        const double td = sparse ? d_label : (double)across_sum(sum_td)[0];
        total += (double)weight_of(a, row) * ((double)sum_t[0] * (double)vlog(s)[0] - td);

        const vf inverse = 1 / s, factor = vset((real)a->scale * weight_of(a, row));
        for (nn_index j = 0; wait && j < n; j += LANES) {
            const nn_index left = n - j;
            const vf q = load_some(wait + j, left) * inverse;
            /* By a select, as the compiler would fuse q with a subtraction, but only where prob is NULL */
            const vf slope = sparse ? vselect(lane_numbers() == (integer)(label - j), q - one, q)
                                    : sum_t * q - load_some(t + j, left);
            if (grad) store_some(grad + j, left, factor * slope);
            if (prob) store_some(prob + j, left, q);
        }
    }
    return total;
}

INLINE double softmax_crossentropy(const nn_loss *a, int sparse) {
    if (a->n == 0) return 0;
    return a->n <= FEW_CLASSES ? sum_softmax_narrow(a, sparse) : sum_softmax_wide(a, sparse);
}

static double loss_categorical_crossentropy_logits(const nn_loss *a) { return softmax_crossentropy(a, 0); }
static double loss_sparse_categorical_crossentropy_logits(const nn_loss *a) { return softmax_crossentropy(a, 1); }

/* Metrics: the value alone, whatever the caller left in grad and prob. */
INLINE double value_of(double (*loss)(const nn_loss *), const nn_loss *a) {
    nn_loss b = *a;
    b.grad = b.prob = NULL;
    return loss(&b);
}

INLINE term binary_match(vf p, vf t, const vf *parameters) {
    const vf threshold = parameters[0], zero = {0}, one = vset(1);
    return (term){.value = vselect(vselect(p > threshold, one, zero) == t, one, zero)};
}

INLINE double binary_matches(const nn_loss *a) { return sum_terms(a, binary_match); }

/* The first index of the largest element; n where all are nan. */
INLINE nn_index first_maximum(const real *x, nn_index n) {
    const vf lowest = vset(-(real)INFINITY);
    vf m = lowest;
    for (nn_index j = 0; j < n; j += LANES)
        m = vmax(keep_some(load_some(x + j, n - j), n - j, lowest), m); /* nan loses */
    m = across_max(m);
    nn_index j = 0;
    while (j < n && x[j] != m[0]) j++;
    return j;
}

static double metric_mean_squared_error(const nn_loss *a) { return value_of(loss_mean_squared_error, a); }
static double metric_mean_absolute_error(const nn_loss *a) { return value_of(loss_mean_absolute_error, a); }
static double metric_binary_accuracy(const nn_loss *a) { return value_of(binary_matches, a); }

INLINE double sum_matches(const nn_loss *a, int sparse) {
    const nn_index n = a->n;
    double total = 0;
    for (nn_index row = 0; row < a->rows; row++) {
        const nn_index best = first_maximum((const real *)a->p + row * n, n);
        const nn_index wanted = sparse ? (nn_index)((const int32_t *)a->target)[row]
                                       : first_maximum((const real *)a->target + row * n, n);
        total += best == wanted ? (double)weight_of(a, row) : 0;
    }
    return total;
}

static double metric_categorical_accuracy(const nn_loss *a) { return sum_matches(a, 0); }
static double metric_sparse_categorical_accuracy(const nn_loss *a) { return sum_matches(a, 1); }

/* What the operations loss and metric share. Chunks of NN_CHUNK_ROWS samples are summed, each to a place of its own,
 * so that a sum has the same bits for any team. */
typedef struct rowwise {
    nn_rowwise kernel;
    nn_operand P, T, weight, dP, prob;
    nn_index rows, n, sum;
    int labels;
    double scale; /* of the gradient */
    const double *parameters;
} rowwise;

INLINE double sum_samples(const rowwise *w, const nn_run *run, nn_index first, nn_index count, const void *weight,
                          double factor) {
    const nn_index row = first * w->rows, i = row * w->n;
    const nn_loss a = {
        .rows = count * w->rows, .n = w->n, .p = at(run, w->P, i), .weight = weight,
        .target = w->labels ? (const char *)nn_at(run, w->T) + row * (nn_index)sizeof(int32_t) : at(run, w->T, i),
        .scale = factor * w->scale / (double)(run->samples * w->rows), .parameters = w->parameters,
        .grad = at(run, w->dP, i), .prob = at(run, w->prob, i),
    };
    return w->kernel(&a);
}

INLINE void sum_chunks(const rowwise *w, nn_run *run, nn_index first, nn_index count) {
    const real *weight = at(run, w->weight, 0);
    for (nn_index end = first + count; first < end; first += NN_CHUNK_ROWS) {
        const nn_index samples = end - first < NN_CHUNK_ROWS ? end - first : NN_CHUNK_ROWS;
        double sum = 0;
        if (!weight || w->rows == 1)
            sum = sum_samples(w, run, first, samples, weight ? weight + first : NULL, 1) / (double)w->rows;
        else /* one weight for all rows of a sample */
            for (nn_index i = first; i < first + samples; i++)
                sum += (double)weight[i] * sum_samples(w, run, i, 1, NULL, (double)weight[i]) / (double)w->rows;
        *nn_partial(run, w->sum, first / NN_CHUNK_ROWS) = sum;
    }
}

SPAN(loss) {
    const rowwise w = {.kernel = run->table->loss[op->function], .P = op->P, .T = op->T, .weight = op->weight,
                       .dP = op->dP, .prob = op->prob, .rows = op->rows, .n = op->n, .sum = op->sum,
                       .labels = op->labels != 0, .scale = op->scale, .parameters = op->parameters};
    sum_chunks(&w, run, first, count);
}
SPAN(metric) {
    const rowwise w = {.kernel = run->table->metric[op->function], .P = op->P, .T = op->T, .weight = op->weight,
                       .rows = op->rows, .n = op->n, .sum = op->sum, .labels = op->labels != 0,
                       .parameters = op->parameters};
    sum_chunks(&w, run, first, count);
}

SPAN(accumulate) {
    const real *v = at(run, op->V, 0), *weight = at(run, op->weight, 0);
    for (nn_index end = first + count; first < end; first += NN_CHUNK_ROWS) {
        double sum = 0;
        for (nn_index i = first; i < end && i < first + NN_CHUNK_ROWS; i++)
            sum += weight ? (double)weight[i] * (double)v[i] : (double)v[i];
        *nn_partial(run, op->sum, first / NN_CHUNK_ROWS) = sum;
    }
}

#endif
