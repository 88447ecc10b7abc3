/* forms.h: what the function of a loss looks like, by its form in kernels.def, and the loops over rows.
 *
 * To add a loss: a line in kernels.def, and a function here below, called <name>_<suffix>:
 *
 *     form          function                                 it gives
 *     TERM          term <name>_term(p, t, parameters)       value and slope of one element; a row has the mean
 *     SUM           the same                                 a row has the sum
 *     SOFTMAX       class_term <name>_class(log_q, q, t, n, column, parameters)
 *                                                            value, and slope by log q, of a class of probability q,
 *                                                            the softmax of logits; a row has the sum
 *     NORMALIZED    the same                                 q: probabilities divided by their sum, clipped
 *     ROW           double <name>_row(const row *)           the value of a row, and its gradient
 *     BATCH         double <name>_batch(const nn_loss *)     Σ weight loss over a batch whose rows are not independent
 *     CROSSENTROPY  softmax crossentropies, classes.h
 *
 * terms.h, classes.h, rows.h and batches.h hold them. Those of vectors are given ragged ends of rows as zeros. A nan in
 * a prediction has to make the value nan, and the slope there. Rows are added in float64, in order.
 */
#ifndef NNCORE_LOSS_FORMS_H
#define NNCORE_LOSS_FORMS_H

#include "vectors/lanes.h"
#include "vectors/vecmath.h"

#define PROBABILITY_MIN REAL(1e-7) /* Keras's epsilon */
#define PROBABILITY_MAX REAL(1 - 1e-7)

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

INLINE vf clip_probability(vf p) { return vmin(vset(PROBABILITY_MAX), vmax(vset(PROBABILITY_MIN), p)); } /* nan stays */
INLINE vi clipped(vf p) { return (p < PROBABILITY_MIN) | (p > PROBABILITY_MAX); }

/* -- TERM, SUM: over the batch as one flat array whatever n is, a tile at a time: vectors stay full for n = 1, and an
 * element's bits do not depend on its lane -- */

typedef struct term { vf value, slope, prob; } term; /* of one element: loss, ∂loss/∂p, sigmoid(p) */
typedef term (*term_of)(vf p, vf t, const vf *parameters);

enum { LOSS_TILE = 512 }; /* elements */

INLINE double sum_weighted_terms(const nn_loss *a, term_of of, int mean, const real *each) {
    const real *p = a->p, *t = a->target;
    real *grad = a->grad, *prob = a->prob;
    const nn_index n = a->n;
    if (n == 0) return 0;
    const spread s = in_all_lanes(a->parameters);
    const real share = (real)(mean ? a->scale / (double)n : a->scale);
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
                term e = of(load_some(p + first + i, left), load_some(t + first + i, left), s.p);
                if (each) {
                    const vf weight = load_some(each + first + i, left);
                    e.value *= weight, e.slope *= weight;
                }
                store_some(value + i, left, e.value);
                if (grad) store_some(grad + first + i, left, load_some(factor + i, left) * e.slope);
                if (prob) store_some(prob + first + i, left, e.prob);
            }
            for (nn_index r = 0; r < rows; r++)
                total += (double)weight_of(a, row + r) * sum_row(value + r * cols, cols);
        }
    return mean ? total / (double)n : total;
}

/* Two loops, so that the one without weights, which nearly all losses take, has no branch in it. */
INLINE double sum_terms(const nn_loss *a, term_of of, int mean) {
    return a->each ? sum_weighted_terms(a, of, mean, a->each) : sum_weighted_terms(a, of, mean, NULL);
}

/* -- ROW -- */

typedef struct row {
    nn_index n;
    const real *p, *t;        /* (n); t as kernels.def says */
    int32_t label;
    const real *columns;      /* (n) or NULL */
    const double *parameters;
    double factor;            /* of the gradient */
    real *grad;               /* (n) or NULL; may be p */
} row;
typedef double (*of_row)(const row *r);

/* The factor of a gradient; nan for a value that is. */
INLINE vf factor_of(const row *r, double value) { return vset((real)(value == value ? r->factor : value)); }

enum { SPARSE_VALUES, SPARSE_ONE, SPARSE_HALF, SPARSE_LABELS };

INLINE double sum_rows(const nn_loss *a, of_row of, int target) {
    const nn_index n = a->n, targets = target == SPARSE_ONE ? 1 : target == SPARSE_HALF ? n / 2 : n;
    const int sparse = target == SPARSE_LABELS;
    double total = 0;
    if (n == 0) return 0;
    for (nn_index i = 0; i < a->rows; i++) {
        const row r = {
            .n = n, .p = (const real *)a->p + i * n, .t = sparse ? NULL : (const real *)a->target + i * targets,
            .label = sparse ? ((const int32_t *)a->target)[i] : 0, .columns = a->columns, .parameters = a->parameters,
            .factor = a->scale * (double)weight_of(a, i), .grad = a->grad ? (real *)a->grad + i * n : NULL,
        };
        total += (double)weight_of(a, i) * of(&r);
    }
    return total;
}

/* -- SOFTMAX, NORMALIZED: a predicted distribution q against a target distribution t -- */

typedef struct class_term { vf value, slope; } class_term; /* ℓ_j and q_j ∂ℓ_j/∂q_j */
typedef class_term (*class_of)(vf log_q, vf q, vf t, nn_index n, vf column, const vf *parameters);

/* A label, or −1 for the one that counts nothing, parameter 0 of CROSSENTROPY and NORMALIZED. */
INLINE int32_t counted_label(const nn_loss *a, nn_index row) {
    const int32_t label = ((const int32_t *)a->target)[row];
    return (double)label == a->parameters[0] ? -1 : label;
}

/* Those of `rows` ≤ LANES rows, each in a lane. */
INLINE vi counted_labels(const nn_loss *a, nn_index row, nn_index rows) {
    const int32_t *label = (const int32_t *)a->target + row;
    vi v = {0};
#if NN_REAL_BITS == 32
    v = (vi)load_some((const real *)label, rows);
#else
    for (nn_index r = 0; r < rows; r++) v[r] = label[r];
#endif
    return v | (v == (integer)a->parameters[0]);
}

typedef struct classes {
    const nn_loss *a;
    class_of of;
    spread s;
    const real *t;  /* of a row; NULL: */
    int32_t label;
} classes;

INLINE class_term class_at(const classes *c, nn_index j, vf log_q, vf q) {
    const nn_loss *a = c->a;
    const nn_index left = a->n - j;
    const vf zero = {0};
    vf t;
    if (c->t)
        t = load_some(c->t + j, left);
    else
        t = vselect(lane_numbers() == (integer)(c->label - j), vset(1), zero);
    const vf column = a->columns ? load_some((const real *)a->columns + j, left) : zero;
    const class_term e = c->of(log_q, q, t, a->n, column, c->s.p);
    return (class_term){keep_some(e.value, left, zero), keep_some(e.slope, left, zero)};
}

/* q = softmax(x), d = x − max x: log q = d − log Σ exp d; ∂ℓ/∂x = slope − q Σ slope. */
INLINE double sum_softmax(const nn_loss *a, class_of of, int sparse) {
    const nn_index n = a->n;
    const vf lowest = vset(-(real)INFINITY), zero = {0};
    classes c = {a, of, in_all_lanes(a->parameters), NULL, 0};
    double total = 0;
    if (n == 0) return 0;
    for (nn_index i = 0; i < a->rows; i++) {
        const real *x = (const real *)a->p + i * n;
        real *grad = a->grad ? (real *)a->grad + i * n : NULL, *prob = a->prob ? (real *)a->prob + i * n : NULL;
        vf m = lowest, s = zero, slopes = zero;
        vd value = {0};
        if (sparse) c.label = ((const int32_t *)a->target)[i];
        else c.t = (const real *)a->target + i * n;
        for (nn_index j = 0; j < n; j += LANES) m = vmax(m, keep_some(load_some(x + j, n - j), n - j, lowest));
        m = across_max(m);
        for (nn_index j = 0; j < n; j += LANES) s += keep_some(vexp(load_some(x + j, n - j) - m), n - j, zero);
        const vf log_s = vlog(across_sum(s));
        for (nn_index j = 0; j < n; j += LANES) {
            const vf log_q = load_some(x + j, n - j) - m - log_s;
            const class_term e = class_at(&c, j, log_q, vexp(log_q));
            value += fold(e.value);
            slopes += e.slope;
        }
        total += (double)weight_of(a, i) * across_total(value);
        slopes = across_sum(slopes);
        const vf factor = vset((real)(a->scale * (double)weight_of(a, i)));
        for (nn_index j = 0; (grad || prob) && j < n; j += LANES) {
            const vf log_q = load_some(x + j, n - j) - m - log_s, q = vexp(log_q);
            if (grad) store_some(grad + j, n - j, factor * (class_at(&c, j, log_q, q).slope - q * slopes));
            if (prob) store_some(prob + j, n - j, q);
        }
    }
    return total;
}

/* r = p / Σp and q = r, clipped: ∂ℓ/∂p = (h − Σ h r) / Σp with h = slope / q, or 0 where r is clipped. */
INLINE double sum_normalized(const nn_loss *a, class_of of, int sparse) {
    const nn_index n = a->n;
    const vf zero = {0};
    classes c = {a, of, in_all_lanes(a->parameters), NULL, 0};
    double total = 0;
    if (n == 0) return 0;
    for (nn_index i = 0; i < a->rows; i++) {
        const real *p = (const real *)a->p + i * n;
        real *grad = a->grad ? (real *)a->grad + i * n : NULL;
        vf sum = zero, dot = zero;
        vd value = {0};
        if (sparse) c.label = counted_label(a, i);
        else c.t = (const real *)a->target + i * n;
        for (nn_index j = 0; j < n; j += LANES) sum += load_some(p + j, n - j);
        const vf inverse = 1 / across_sum(sum);
        for (nn_index j = 0; j < n; j += LANES) {
            const vf r = load_some(p + j, n - j) * inverse, q = clip_probability(r);
            const class_term e = class_at(&c, j, vlog(q), q);
            value += fold(e.value);
            dot += vselect(clipped(r), zero, e.slope);
        }
        total += (double)weight_of(a, i) * across_total(value);
        dot = across_sum(dot);
        const vf factor = vset((real)(a->scale * (double)weight_of(a, i))) * inverse;
        for (nn_index j = 0; grad && j < n; j += LANES) {
            const vf r = load_some(p + j, n - j) * inverse, q = clip_probability(r);
            const vf h = vselect(clipped(r), zero, class_at(&c, j, vlog(q), q).slope / q);
            store_some(grad + j, n - j, factor * (h - dot));
        }
    }
    return total;
}

#endif
