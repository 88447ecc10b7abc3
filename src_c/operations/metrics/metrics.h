/* metrics.h: metrics that are a value per row, over the rows of a batch. Formulas are those of Keras 3. */
#ifndef NNCORE_METRICS_H
#define NNCORE_METRICS_H

#include "operations/losses/losses.h"

/* The value alone, whatever the caller left in grad and prob. */
INLINE double value_of(double (*loss)(const nn_loss *), const nn_loss *a) {
    nn_loss b = *a;
    b.grad = b.prob = NULL, b.values = NULL, b.counted = NULL;
    return loss(&b);
}

INLINE term binary_match(vf p, vf t, const vf *parameters) {
    const vf threshold = parameters[0], zero = {0}, one = vset(1);
    return (term){.value = vselect(vselect(p > threshold, one, zero) == t, one, zero)};
}

INLINE term match(vf p, vf t, const vf *parameters UNUSED) {
    return (term){.value = vselect(p == t, vset(1), (vf){0})};
}

INLINE double binary_matches(const nn_loss *a) { return sum_terms(a, binary_match, 1); }
INLINE double matches(const nn_loss *a) { return sum_terms(a, match, 1); }

static double metric_binary_accuracy(const nn_loss *a) { return value_of(binary_matches, a); }
static double metric_accuracy(const nn_loss *a) { return value_of(matches, a); }

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

enum { FIRST_OF_EQUALS, ALL_OF_EQUALS };

/* Whether element c is among the k largest of x; of those equal to the k-th largest the first ones count, or all. */
INLINE int among_largest(const real *x, nn_index n, nn_index c, nn_index k, int equals) {
    if (c >= n || x[c] != x[c]) return 0;
    nn_index before = 0;
    for (nn_index j = 0; j < n; j++) before += x[j] > x[c] || (equals == FIRST_OF_EQUALS && x[j] == x[c] && j < c);
    return before < k;
}

/* k = 0: the first of the largest alone. */
INLINE double sum_hits(const nn_loss *a, int sparse, nn_index k) {
    const nn_index n = a->n;
    double total = 0;
    for (nn_index row = 0; row < a->rows; row++) {
        const real *p = (const real *)a->p + row * n;
        const nn_index wanted = sparse ? (nn_index)((const int32_t *)a->target)[row]
                                       : first_maximum((const real *)a->target + row * n, n);
        const int hit = k ? among_largest(p, n, wanted, k, ALL_OF_EQUALS) : first_maximum(p, n) == wanted;
        total += hit ? (double)weight_of(a, row) : 0;
    }
    return total;
}

static double metric_categorical_accuracy(const nn_loss *a) { return sum_hits(a, 0, 0); }
static double metric_sparse_categorical_accuracy(const nn_loss *a) { return sum_hits(a, 1, 0); }
static double metric_top_k_categorical_accuracy(const nn_loss *a) {
    return sum_hits(a, 0, (nn_index)a->parameters[0]);
}
static double metric_sparse_top_k_categorical_accuracy(const nn_loss *a) {
    return sum_hits(a, 1, (nn_index)a->parameters[0]);
}

typedef struct spread_of_row { double p, t, pp, tt, pt; } spread_of_row; /* means, of products of deviations, too */

/* In two passes, for no sum of squares then cancels. order: n */
INLINE spread_of_row spread_in(const real *p, const real *t, nn_index n) {
    spread_of_row s = {0};
    for (nn_index j = 0; j < n; j++) s.p += (double)p[j], s.t += (double)t[j];
    s.p /= (double)n, s.t /= (double)n;
    for (nn_index j = 0; j < n; j++) {
        const double dp = (double)p[j] - s.p, dt = (double)t[j] - s.t;
        s.pp += dp * dp, s.tt += dt * dt, s.pt += dp * dt;
    }
    s.pp /= (double)n, s.tt /= (double)n, s.pt /= (double)n;
    return s;
}

INLINE double sum_correlations(const nn_loss *a, int concordance) {
    const nn_index n = a->n;
    double total = 0;
    for (nn_index row = 0; row < a->rows && n; row++) {
        const spread_of_row s = spread_in((const real *)a->p + row * n, (const real *)a->target + row * n, n);
        const double size = concordance ? s.pp + s.tt + (s.p - s.t) * (s.p - s.t) : sqrt(s.pp) * sqrt(s.tt);
        const double value = size == 0 ? 0 : (concordance ? 2 : 1) * s.pt / size;
        total += (double)weight_of(a, row) * value;
    }
    return total;
}

static double metric_pearson_correlation(const nn_loss *a) { return sum_correlations(a, 0); }
static double metric_concordance_correlation(const nn_loss *a) { return sum_correlations(a, 1); }

INLINE double sum_brier(const nn_loss *a, int sparse) {
    const nn_index n = a->n;
    double total = 0;
    for (nn_index row = 0; row < a->rows; row++) {
        const real *p = (const real *)a->p + row * n;
        double value = 0;
        for (nn_index j = 0; j < n; j++) {
            const double t = sparse ? ((const int32_t *)a->target)[row] == j
                                    : (double)((const real *)a->target)[row * n + j];
            value += ((double)p[j] - t) * ((double)p[j] - t);
        }
        total += (double)weight_of(a, row) * value;
    }
    return total;
}

static double metric_brier_score(const nn_loss *a) { return sum_brier(a, 0); }
static double metric_sparse_brier_score(const nn_loss *a) { return sum_brier(a, 1); }

SPAN(metric) {
    const nn_table *table = run->table;
    const nn_index f = op->function;
    const rowwise w = {.kernel = f < NN_METRICS ? table->metric[f] : table->loss[f - NN_METRICS], .P = op->P,
                       .T = op->T, .weight = op->weight, .rows = op->rows, .n = op->n,
                       .targets = op->labels ? 1 : op->n, .weights = op->weights, .sum = op->sum,
                       .labels = op->labels != 0, .parameters = op->parameters};
    sum_chunks(&w, run, first, count);
}

#endif
