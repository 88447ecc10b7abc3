/* classes.h: losses of a predicted distribution over classes: CROSSENTROPY, SOFTMAX and NORMALIZED of kernels.def.
 *
 * Softmax crossentropies take d = x − max x and s = Σ exp d of each row, one exp per element:
 *     loss = Σt log s − Σ t d,   ∂loss/∂x = Σt exp(d)/s − t,
 * which overflows for no finite x; a narrow row lies in one lane, a wide one across the lanes. A label outside of [0,n)
 * counts nothing.
 */
#ifndef NNCORE_LOSS_CLASSES_H
#define NNCORE_LOSS_CLASSES_H

#include "operations/losses/terms.h"

enum { FEW_CLASSES = 16 };

INLINE vf weighted(vf t, vf d) { return vselect(t != 0, t * d, (vf){0}); } /* 0 × −inf is 0 */

/* LANES rows of n elements ↔ n vectors, element j of row r in lane r of vector j; lanes without a row are 0. */
INLINE void rows_to_lanes(nn_index rows, nn_index n, const real *x, vf *y) {
    real *to = (real *)y;
    if (n == 2 && rows == LANES) {
        split_pairs(x, &y[0], &y[1]);
        return;
    }
    if (rows < LANES) memset(to, 0, (size_t)n * VECTOR_BYTES);
    for (nn_index r = 0; r < rows; r++)
        for (nn_index j = 0; j < n; j++) to[j * LANES + r] = x[r * n + j];
}

INLINE void lanes_to_rows(nn_index rows, nn_index n, const vf *x, real *y) {
    const real *from = (const real *)x;
    if (n == 2 && rows == LANES) {
        join_pairs(x[0], x[1], y);
        return;
    }
    for (nn_index r = 0; r < rows; r++)
        for (nn_index j = 0; j < n; j++) y[r * n + j] = from[j * LANES + r];
}

/* n ≤ FEW_CLASSES: a row in each lane, so that nothing crosses lanes. t is one-hot where `sparse`. */
INLINE double sum_softmax_narrow(const nn_loss *a, int sparse) {
    const nn_index n = a->n;
    const vf zero = {0}, one = vset(1), smoothing = vset((real)a->parameters[0]);
    vf e[FEW_CLASSES], t[FEW_CLASSES];
    vi labels = {0};
    double total = 0;
    for (nn_index row = 0; row < a->rows; row += LANES) {
        const nn_index rows = a->rows - row < LANES ? a->rows - row : LANES, first = row * n;
        const vf weight = a->weight ? load_some((const real *)a->weight + row, rows) : one;
        rows_to_lanes(rows, n, (const real *)a->p + first, e);
        if (sparse)
            labels = counted_labels(a, row, rows);
        else
            rows_to_lanes(rows, n, (const real *)a->target + first, t);

        vf m = e[0], s = zero, sum_t = zero, sum_td = zero;
        for (nn_index j = 1; j < n; j++) m = vmax(m, e[j]);
        for (nn_index j = 0; j < n; j++) {
            const vf d = e[j] - m;
            t[j] = sparse ? vselect(labels == (integer)j, one, zero) : smoothed(t[j], smoothing, (real)n);
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
    const vf lowest = vset(-(real)INFINITY), zero = {0}, one = vset(1), smoothing = vset((real)a->parameters[0]);
    double total = 0;
    for (nn_index row = 0; row < a->rows; row++) {
        const real *x = (const real *)a->p + row * n, *t = sparse ? NULL : (const real *)a->target + row * n;
        real *grad = a->grad ? (real *)a->grad + row * n : NULL, *prob = a->prob ? (real *)a->prob + row * n : NULL;
        real *wait = grad ? grad : prob;
        const int32_t label = sparse ? counted_label(a, row) : 0;
        const int counts = label >= 0 && label < n;

        vf m = lowest, s = zero, sum_t = zero, sum_td = zero;
        for (nn_index j = 0; j < n; j += LANES) m = vmax(m, keep_some(load_some(x + j, n - j), n - j, lowest));
        m = across_max(m);
        const double d_label = counts ? (double)x[label] - (double)m[0] : 0;
        for (nn_index j = 0; j < n; j += LANES) {
            const nn_index left = n - j;
            const vf d = keep_some(load_some(x + j, left) - m, left, zero);
            const vf e = keep_some(vexp(d), left, zero);
            s += e;
            if (!sparse) {
                const vf tj = keep_some(smoothed(load_some(t + j, left), smoothing, (real)n), left, zero);
                sum_t += tj;
                sum_td += weighted(tj, d);
            }
            if (wait) store_some(wait + j, left, e);
        }
        s = across_sum(s);
        sum_t = sparse ? counts ? one : zero : across_sum(sum_t);
        const double td = sparse ? d_label : (double)across_sum(sum_td)[0];
        total += (double)weight_of(a, row) * ((double)sum_t[0] * (double)vlog(s)[0] - td);

        const vf inverse = 1 / s, factor = vset(counts ? (real)a->scale * weight_of(a, row) : 0);
        for (nn_index j = 0; wait && j < n; j += LANES) {
            const nn_index left = n - j;
            const vf q = load_some(wait + j, left) * inverse;
            /* By a select, as the compiler would fuse q with a subtraction, but only where prob is NULL */
            const vf slope = sparse ? vselect(lane_numbers() == (integer)(label - j), q - one, q)
                                    : sum_t * q - smoothed(load_some(t + j, left), smoothing, (real)n);
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

/* -- SOFTMAX and NORMALIZED -- */

INLINE class_term categorical_crossentropy_class(vf log_q, vf q UNUSED, vf given, nn_index n, vf column UNUSED,
                                                 const vf *parameters) {
    const vf t = smoothed(given, parameters[0], (real)n);
    return (class_term){-weighted(t, log_q), -t};
}

INLINE class_term sparse_categorical_crossentropy_class(vf log_q, vf q UNUSED, vf t, nn_index n UNUSED,
                                                        vf column UNUSED, const vf *parameters UNUSED) {
    return (class_term){-weighted(t, log_q), -t};
}

/* Lin et al. 2017, for several classes: −α (1 − q)ᵞ t log q; α: of each class, or one for all */
INLINE class_term categorical_focal_crossentropy_class(vf log_q, vf q, vf given, nn_index n, vf column,
                                                       const vf *parameters) {
    const vf t = smoothed(given, parameters[0], (real)n), gamma = parameters[1];
    const vf alpha = vselect(parameters[2] != 0, parameters[2], column), u = vmax((vf){0}, 1 - q);
    const vf f = alpha * t * vpower(u, gamma), cost = weighted(f, log_q);
    return (class_term){-cost, gamma * q / vmax(vset(PROBABILITY_MIN), u) * cost - f};
}
#define categorical_focal_crossentropy_logits_class categorical_focal_crossentropy_class

/* t (log t − log q), t clipped to [ε, 1] */
INLINE class_term kl_divergence_logits_class(vf log_q, vf q UNUSED, vf given, nn_index n UNUSED, vf column UNUSED,
                                             const vf *parameters UNUSED) {
    const vf t = vmin(vset(1), vmax(vset(PROBABILITY_MIN), given));
    return (class_term){t * (vlog(t) - log_q), -t};
}

/* (1 − qᵃ) / a of the right class, a the parameter q */
INLINE class_term categorical_generalized_cross_entropy_logits_class(vf log_q, vf q UNUSED, vf t, nn_index n UNUSED,
                                                                     vf column UNUSED, const vf *parameters) {
    const vf a = parameters[0], power = vexp(a * log_q);
    return (class_term){weighted(t, (1 - power) / a), weighted(t, -power)};
}

#endif
