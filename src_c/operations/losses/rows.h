/* rows.h: losses that are a function of a whole row: ROW of kernels.def. The last loop of each reads what it needs of a
 * prediction before it writes the gradient there. */
#ifndef NNCORE_LOSS_ROWS_H
#define NNCORE_LOSS_ROWS_H

#include "operations/losses/terms.h"

/* Σ p², Σ t², Σ p t, and Σ p, Σ t, in float64 */
typedef struct moments { double pp, tt, pt, p, t; } moments;
INLINE moments moments_of(nn_index n, const real *p, const real *t) {
    vd pp = {0}, tt = {0}, pt = {0}, sum_p = {0}, sum_t = {0};
    for (nn_index j = 0; j < n; j += LANES) {
        const vf a = load_some(p + j, n - j), b = load_some(t + j, n - j);
        pp += fold_squares(a), tt += fold_squares(b), pt += fold_products(a, b);
        sum_p += fold(a), sum_t += fold(b);
    }
    return (moments){across_total(pp), across_total(tt), across_total(pt), across_total(sum_p), across_total(sum_t)};
}

/* −p·t / (|p| |t|), norms being at least ε */
INLINE double cosine_similarity_row(const row *r) {
    const moments m = moments_of(r->n, r->p, r->t);
    const double least = 1e-7, of_p = sqrt(m.pp), of_t = sqrt(m.tt);
    const double p = 1 / (of_p > least ? of_p : least), t = 1 / (of_t > least ? of_t : least), value = -m.pt * p * t;
    const vf factor = factor_of(r, m.pp != m.pp ? m.pp : value);
    const vf own = vset((real)(of_p > least ? value * p * p : 0)), other = vset((real)(p * t));
    for (nn_index j = 0; r->grad && j < r->n; j += LANES) {
        const vf a = load_some(r->p + j, r->n - j), b = load_some(r->t + j, r->n - j);
        store_some(r->grad + j, r->n - j, -factor * (other * b + own * a));
    }
    return m.pp != m.pp ? m.pp : value;
}

/* max(max (1 − t) p − Σ t p + 1, 0) */
INLINE double categorical_hinge_row(const row *r) {
    const vf lowest = vset(-(real)INFINITY);
    vf most = lowest;
    vd right = {0};
    for (nn_index j = 0; j < r->n; j += LANES) {
        const vf p = load_some(r->p + j, r->n - j), t = load_some(r->t + j, r->n - j);
        most = vmax(most, keep_some((1 - t) * p, r->n - j, lowest));
        right += fold_products(t, p);
    }
    most = across_max(most);
    nn_index worst = 0;
    while (worst < r->n && !((1 - r->t[worst]) * r->p[worst] == most[0])) worst++;
    const double left = (double)most[0] - across_total(right) + 1;
    const vf factor = left <= 0 ? (vf){0} : factor_of(r, left);
    for (nn_index j = 0; r->grad && j < r->n; j += LANES) {
        const vf t = load_some(r->t + j, r->n - j);
        const vf slope = vselect(lane_numbers() == (integer)(worst - j), 1 - 2 * t, -t);
        store_some(r->grad + j, r->n - j, factor * slope);
    }
    return left <= 0 ? 0 : left;
}

/* Zhang, Sabuncu 2018: (1 − p_cᵠ) / q of the probability of the right class; the slope is that of max(p_c, ε) */
INLINE double categorical_generalized_cross_entropy_row(const row *r) {
    vd sum = {0};
    for (nn_index j = 0; j < r->n; j += LANES) {
        const vf mine = vselect(lane_numbers() == (integer)(r->label - j), vset(1), (vf){0});
        sum += fold(load_some(r->p + j, r->n - j) * mine);
    }
    const real p = (real)across_total(sum), q = (real)r->parameters[0];
    const double value = (1 - (double)vpower(vset(p), vset(q))[0]) / (double)q;
    const vf slope = -factor_of(r, value) * vpower(vmax(vset(PROBABILITY_MIN), vset(p)), vset(q - 1));
    for (nn_index j = 0; r->grad && j < r->n; j += LANES) {
        const vi mine = lane_numbers() == (integer)(r->label - j);
        store_some(r->grad + j, r->n - j, vselect(mine | (slope != slope), slope, (vf){0}));
    }
    return value;
}

/* Salehi et al. 2017: 1 − I / (I + α Σ(1 − p)t + β Σ p(1 − t) + ε), I = Σ p t */
INLINE double tversky_row(const row *r) {
    const moments m = moments_of(r->n, r->p, r->t);
    const double alpha = r->parameters[0], beta = r->parameters[1];
    const double whole = m.pt + alpha * (m.t - m.pt) + beta * (m.p - m.pt) + r->parameters[2];
    const double value = 1 - m.pt / whole, share = m.pt / (whole * whole);
    const vf factor = factor_of(r, value), constant = vset((real)(share * beta));
    const vf of_t = vset((real)(share * (1 - alpha - beta) - 1 / whole));
    for (nn_index j = 0; r->grad && j < r->n; j += LANES)
        store_some(r->grad + j, r->n - j, factor * (constant + of_t * load_some(r->t + j, r->n - j)));
    return value;
}

/* Koenker, Bassett 1978: the mean over quantiles τ of max(τ e, (τ − 1) e), e = t − p_τ */
INLINE double pinball_row(const row *r) {
    const vf t = vset(r->t[0]), share = vset((real)(r->factor / (double)r->n)), zero = {0};
    vd sum = {0};
    for (nn_index j = 0; j < r->n; j += LANES) {
        const vf p = load_some(r->p + j, r->n - j), level = load_some(r->columns + j, r->n - j);
        const vf e = keep_some(t - p, r->n - j, zero), below = level - 1;
        sum += fold(vselect(e > 0, level, below) * e);
        const vf slope = vselect(e > 0, -level, vselect(e < 0, -below, e)); /* e: 0 or nan */
        if (r->grad) store_some(r->grad + j, r->n - j, share * slope);
    }
    return across_total(sum) / (double)r->n;
}

enum { VARIANCE_ITSELF, VARIANCE_EXP, VARIANCE_SOFTPLUS };

/* Nix, Weigend 1994: the mean over j of ½ (log v + (μ − t)² / v) of means μ (n/2) and what gives variances v
 * (n/2) */
INLINE double gaussian_nll_row(const row *r) {
    const nn_index h = r->n / 2;
    const int kind = (int)r->parameters[0];
    const vf least = vset((real)r->parameters[1]), half = vset(REAL(0.5)), zero = {0};
    const vf share = vset((real)(r->factor / (double)h));
    vd sum = {0};
    for (nn_index j = 0; j < h; j += LANES) {
        const vf d = load_some(r->p + j, h - j) - load_some(r->t + j, h - j), s = load_some(r->p + h + j, h - j);
        const vf e = vexp(kind == VARIANCE_EXP ? s : -vabs(s));
        vf v = vmax(least, s), dv = vselect(s < least, zero, vset(1));
        if (kind == VARIANCE_EXP) v = e + least, dv = e;
        if (kind == VARIANCE_SOFTPLUS)
            v = vmax(zero, s) + vlog1p_unit(e) + least, dv = vselect(s < 0, e, vset(1)) / (1 + e);
        const vf ratio = d / v;
        sum += fold(keep_some(half * (vlog(v) + d * ratio), h - j, zero));
        if (r->grad) {
            store_some(r->grad + j, h - j, share * ratio);
            store_some(r->grad + h + j, h - j, share * half * (1 / v - ratio * ratio) * dv);
        }
    }
    const double full = r->parameters[2] != 0 ? 0.91893853320467274 : 0; /* ½ log 2π */
    return across_total(sum) / (double)h + full;
}

/* Shi, Cao, Raschka 2021: logits of P(y > k | y ≥ k), k = 0 … n − 1; −log P(y = label) */
INLINE double corn_row(const row *r) {
    const vf zero = {0}, one = vset(1), factor = vset((real)r->factor), none = zero;
    vd sum = {0};
    for (nn_index j = 0; j < r->n; j += LANES) {
        const integer label = (integer)(r->label - j);
        const vf more = vselect(lane_numbers() < label, one, zero);
        const vf counts = vselect(lane_numbers() <= label, one, zero);
        const term e = binary_crossentropy_logits_term(load_some(r->p + j, r->n - j), more, &none);
        sum += fold(keep_some(counts * e.value, r->n - j, zero));
        if (r->grad) store_some(r->grad + j, r->n - j, factor * counts * e.slope);
    }
    return across_total(sum);
}

#endif
