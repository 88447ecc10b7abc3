/* batches.h: losses whose rows depend on one another: BATCH of kernels.def. Labels are any int32. One thread sees the
 * whole batch, so the bits do not depend on how many there are; the value depends on who is in the batch. */
#ifndef NNCORE_LOSS_BATCHES_H
#define NNCORE_LOSS_BATCHES_H

#include "operations/losses/forms.h"

INLINE double inner_product(nn_index n, const real *x, const real *y) {
    vd sum = {0};
    for (nn_index j = 0; j < n; j += LANES) sum += fold_products(load_some(x + j, n - j), load_some(y + j, n - j));
    return across_total(sum);
}

/* y += factor x, or factor (x − minus) */
INLINE void add_row(nn_index n, double factor, const real *x, const real *minus, real *y) {
    for (nn_index j = 0; j < n; j += LANES) {
        const nn_index left = n - j;
        const vf v = minus ? load_some(x + j, left) - load_some(minus + j, left) : load_some(x + j, left);
        store_some(y + j, left, load_some(y + j, left) + (real)factor * v);
    }
}

INLINE const real *row_at(const nn_loss *a, nn_index i) { return (const real *)a->p + i * a->n; }

INLINE void begin_gradient(const nn_loss *a) {
    assert(a->grad != a->p);
    if (a->grad) memset(a->grad, 0, (size_t)(a->rows * a->n) * sizeof(real));
}

/* log Σ exp, one by one */
typedef struct log_sum { double most, sum; } log_sum;
INLINE void add_exp(log_sum *s, double x) {
    if (x > s->most) {
        s->sum = s->sum * exp(s->most - x) + 1;
        s->most = x;
    } else
        s->sum += exp(x - s->most);
}
INLINE double log_of(const log_sum *s) { return s->sum == 0 ? -INFINITY : s->most + log(s->sum); }

/* What a pair of rows is worth: its exponent, and the slope of that by the product of the rows. */
typedef struct pair { int counts, same; double exponent, slope; } pair;
INLINE pair circle_pair(const nn_loss *a, nn_index i, nn_index j) {
    const double gamma = a->parameters[0], margin = a->parameters[1];
    const int32_t *label = a->target;
    const double product = inner_product(a->n, row_at(a, i), row_at(a, j)), d = product > 1 ? 0 : 1 - product;
    const double sign = product > 1 ? 0 : -1; /* ∂d/∂product */
    const int same = label[i] == label[j];
    if (same)
        return (pair){a->parameters[2] == 0 || i + (nn_index)a->parameters[3] != j, 1,
                      gamma * (d + margin) * (d - margin), sign * gamma * 2 * d};
    const double weight = 1 + margin - d, left = 1 - margin - d;
    if (weight <= 0) return (pair){1, 0, 0, 0};
    return (pair){1, 0, gamma * weight * left, -sign * gamma * (weight + left)};
}

/* Sun et al. 2020: softplus(log Σ₊ exp(γ (d² − m²)) + log Σ₋ exp(γ (1 + m − d)(1 − m − d))) of
 * cosine distances d, rows being of norm 1; the mean is over rows for which it is > 0. `own` > 0: the others of the
 * first rows are those after them. */
static double circle_batch(const nn_loss *a) {
    const nn_index own = (nn_index)a->parameters[3];
    double total = 0;
    double counted = 0, weights = 0;
    begin_gradient(a);
    for (nn_index i = 0; i < (own ? own : a->rows); i++) {
        log_sum sums[2] = {{-INFINITY, 0}, {-INFINITY, 0}}; /* negative, positive */
        for (nn_index j = own; j < a->rows; j++) {
            const pair x = circle_pair(a, i, j);
            if (x.counts) add_exp(&sums[x.same], x.exponent);
        }
        const double logs[2] = {log_of(&sums[0]), log_of(&sums[1])}, z = logs[0] + logs[1], weight = weight_of(a, i);
        const double value = z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
        const double factor = a->scale * weight / (1 + exp(-z));
        if (!(value <= 0)) counted += 1, weights += weight;
        total += weight * value;
        if (a->values) a->values[i] = value;
        for (nn_index j = own; a->grad && z > -INFINITY && j < a->rows; j++) {
            const pair x = circle_pair(a, i, j);
            if (!x.counts) continue;
            const double slope = factor * exp(x.exponent - logs[x.same]) * x.slope;
            add_row(a->n, slope, row_at(a, j), NULL, (real *)a->grad + i * a->n);
            add_row(a->n, slope, row_at(a, i), NULL, (real *)a->grad + j * a->n);
        }
    }
    if (a->counted) a->counted[0] = counted, a->counted[1] = weights;
    return total;
}

INLINE double distance(nn_index n, const real *x, const real *y) {
    vd sum = {0};
    for (nn_index j = 0; j < n; j += LANES) sum += fold_squares(load_some(x + j, n - j) - load_some(y + j, n - j));
    return sqrt(across_total(sum));
}

/* Hermans, Beyer, Leibe 2017: max(margin + the largest |p_i − p_j| to a row of the same label − the least to one of
 * another, 0); 0 for a row without either. */
static double triplet_batch(const nn_loss *a) {
    const int32_t *label = a->target;
    double total = 0, weights = 0;
    begin_gradient(a);
    for (nn_index i = 0; i < a->rows; i++) {
        nn_index chosen[2] = {-1, -1}; /* of another label, of the same */
        double far[2] = {0, 0};
        for (nn_index j = 0; j < a->rows; j++) {
            const int same = label[i] == label[j];
            if (i == j) continue;
            const double d = distance(a->n, row_at(a, i), row_at(a, j));
            if (chosen[same] < 0 || (same ? !(d <= far[1]) : !(d >= far[0]))) chosen[same] = j, far[same] = d;
        }
        const int whole = chosen[0] >= 0 && chosen[1] >= 0;
        const double left = whole ? a->parameters[0] + far[1] - far[0] : 0, value = left <= 0 ? 0 : left;
        weights += (double)weight_of(a, i);
        total += (double)weight_of(a, i) * value;
        if (a->values) a->values[i] = value;
        for (int same = 0; a->grad && !(left <= 0) && same < 2; same++) {
            const double sign = same ? 1 : -1, d = far[same];
            const double slope = d == 0 ? 0 : sign * a->scale * (double)weight_of(a, i) / d;
            add_row(a->n, slope, row_at(a, i), row_at(a, chosen[same]), (real *)a->grad + i * a->n);
            add_row(a->n, slope, row_at(a, chosen[same]), row_at(a, i), (real *)a->grad + chosen[same] * a->n);
        }
    }
    if (a->counted) a->counted[0] = (double)a->rows, a->counted[1] = weights;
    return total;
}

#endif
