/* update.h: how an update rule W ← rule(W, g) is applied, in one pass over a run of parameters and the rule's state.
 * The rules stand in rules.h and moments.h.
 *
 * Each rule is a function of a few lines over one vector, in the symbols of its paper; `update_each` loads,
 * scales and clips the gradient, decays W (Loshchilov & Hutter 2019, algorithm 2: decay apart from the rule)
 * and stores. A rule's variants are functions of their own, so that the loop holds no branch; its scalars are
 * computed in float64 and rounded to `real` once. Formulas are those of Keras 3, which for Adam keeps ε
 * outside the bias correction (Kingma & Ba 2015, end of section 2).
 */
#ifndef NNCORE_UPDATE_H
#define NNCORE_UPDATE_H

#include "vectors/lanes.h"
#include "vectors/vecmath.h"

typedef struct coefficients {
    real scale, clip, decay, epsilon;
    real eta, mu;           /* learning rate (adam: with its bias correction), momentum */
    real beta_1, beta_2;    /* β₁, β₂ */
    real gain_1, gain_2;    /* 1 − β₁, 1 − β₂ */
    real rho, gain_rho;     /* ρ, 1 − ρ */
    real initial;           /* what a state array holds before the first update, other than 0 */
    real own[4];            /* what else a rule computes once */
} coefficients;

typedef vf (*update_rule)(vf W, vf g, vf s[], const coefficients *c);
/* One that is W − x / y: its x and y */
typedef void (*ratio_rule)(vf g, vf s[], const coefficients *c, vf *x, vf *y);

/* Sets of state arrays, known to the compiler wherever a rule is applied. */
enum { STATE_0 = 1, STATE_1 = 2, STATE_2 = 4 };

/* A row of parameters */
typedef struct updating {
    real *W;
    const real *g;
    void *state[NN_STATES]; /* a copy that stores cannot alias */
    int used;
    const coefficients *c;
} updating;

/* W, decayed; g, scaled and clipped; and the state. */
INLINE vf before_update(const updating *u, nn_index i, nn_index left, vf *g, vf s[NN_STATES]) {
    for (int k = 0; k < NN_STATES; k++) s[k] = u->used >> k & 1 ? load_some((real *)u->state[k] + i, left) : (vf){0};
    *g = vclamp(u->c->scale * load_some(u->g + i, left), -u->c->clip, u->c->clip);
    const vf w = load_some(u->W + i, left);
    return w - u->c->decay * w;
}

INLINE void store_state(const updating *u, nn_index i, nn_index left, const vf s[NN_STATES]) {
    for (int k = 0; k < NN_STATES; k++)
        if (u->used >> k & 1) store_some((real *)u->state[k] + i, left, s[k]);
}

INLINE void update_some(const updating *u, nn_index i, nn_index left, update_rule rule) {
    vf g, s[NN_STATES];
    const vf w = before_update(u, i, left, &g, s);
    store_some(u->W + i, left, rule(w, g, s, u->c));
    store_state(u, i, left, s);
}

/* What an update goes over: `rows` of n elements of g, which in W and its state have the numbers `ids` (NULL: 0,
 * 1, …). */
typedef struct updated {
    nn_index rows, n;
    const int32_t *ids;
    void *W;
    const void *g;
    void *const *state;
} updated;

INLINE updating row_of_update(const updated *u, nn_index r, int used, const coefficients *c) {
    const nn_index first = (u->ids ? u->ids[r] : r) * u->n;
    updating row = {.W = (real *)u->W + first, .g = (const real *)u->g + r * u->n, .used = used, .c = c};
    for (int k = 0; k < NN_STATES; k++) row.state[k] = used >> k & 1 ? (real *)u->state[k] + first : NULL;
    if (u->ids && r + ROWS_AHEAD < u->rows) {
        const nn_index later = u->ids[r + ROWS_AHEAD] * u->n, size = u->n * (nn_index)sizeof(real);
        fetch_row((real *)u->W + later, size);
        for (int k = 0; k < NN_STATES; k++)
            if (used >> k & 1) fetch_row((real *)u->state[k] + later, size);
    }
    return row;
}

INLINE void update_each(const updated *u, int used, update_rule rule, const coefficients *c) {
    for (nn_index r = 0; r < u->rows; r++) {
        const updating row = row_of_update(u, r, used, c);
        VECTORS(i, left, u->n, update_some(&row, i, left, rule););
    }
}

INLINE coefficients coefficients_of(const nn_rule *r) {
    return (coefficients){
        .scale = (real)r->grad_scale, .clip = (real)r->clip_value,
        .decay = (real)(r->learning_rate * r->weight_decay), .eta = (real)r->learning_rate,
    };
}

/* For rules that divide by √v, v a mean of g²: |g| counts as at most ROOT_MAX, so that g² cannot overflow, and ε
 * as at least what keeps 0 / 0 away. Bounding g rather than v leaves g / √v near 1, and costs nothing: g is clipped
 * anyway. ROOT_MAX² is the largest power of two but one, so that no rounding takes v to inf. */
#define ROOT_MAX ldexp(1, (EXPONENT_BIAS - 1) / 2)

INLINE coefficients coefficients_of_ratio(const nn_rule *r, double epsilon, double least_epsilon) {
    coefficients c = coefficients_of(r);
    c.clip = (real)fmin(r->clip_value, ROOT_MAX);
    c.epsilon = (real)fmax(epsilon, least_epsilon);
    return c;
}

#define UPDATE(name)                                                                                                 \
    INLINE void name##_update(const updated *u, const nn_rule *r, const void *numbers);                               \
    static void update_##name(nn_index rows, const int32_t *ids, nn_index n, void *W, const void *g,                  \
                              void *const state[], const nn_rule *r, const void *numbers) {                           \
        name##_update(&(updated){rows, n, ids, W, g, state}, r, numbers);                                             \
    }                                                                                                                 \
    INLINE void name##_update(const updated *u, const nn_rule *r, const void *numbers)

/* a x + b y, of which b y is rounded on its own: left to choose between two products, a compiler takes the other one
 * for the vectors of another loop, and an element's bits would tell where it stands. */
INLINE vf mixed(real a, vf x, real b, vf y) { return a * x + unfused(b * y); }

/* s + gain (g − s), a mean that follows g. Where the product is rounded on its own, it would be 0 from s < MIN_NORMAL
 * / gain on, and s never come to 0: a step too small to be made arrives. */
INLINE vf follow(vf s, vf g, real gain) {
#if defined(__FMA__) || defined(__aarch64__)
    return s + gain * (g - s);
#else
    const vf step = gain * (g - s);
    return vselect(step == 0, g, s + step);
#endif
}

/* Whether |x| ≤ η ROOT_MAX and y from ε to ε + ROOT_MAX, where ROOT_MAX is 2⁶³ and ε at least its inverse,
 * have a quotient that suits VDIVIDE. */
INLINE int divides(const coefficients *c) {
    return c->epsilon <= 0x1p60f && c->eta <= 0x1p39f * (c->epsilon < 1 ? c->epsilon : 1);
}

#ifndef VDIVIDE
#define VDIVIDE(x, y) ((x) / (y))
#define TOGETHER 1
#else
/* Vectors whose quotients are begun when all their roots are: before, they fill the places where others wait for a
 * unit of the CPU. */
#define TOGETHER SIDE
#endif

INLINE vf ratio(vf x, vf y, const coefficients *c) { return divides(c) ? VDIVIDE(x, y) : x / y; }

INLINE void descend_some(const updating *u, nn_index i, nn_index left, const int count, ratio_rule rule, int quick) {
    vf w[SIDE], x[SIDE], y[SIDE];
    EACH(v, count) {
        vf g, s[NN_STATES];
        w[v] = before_update(u, i + v * LANES, left, &g, s);
        rule(g, s, u->c, &x[v], &y[v]);
        store_state(u, i + v * LANES, left, s);
    }
    EACH(v, count) store_some(u->W + i + v * LANES, left, w[v] - (quick ? VDIVIDE(x[v], y[v]) : x[v] / y[v]));
}

INLINE void descend_row(const updating *u, nn_index n, ratio_rule rule, const int quick) {
    nn_index done = 0;
    for (; done + TOGETHER * LANES <= n; done += TOGETHER * LANES) descend_some(u, done, LANES, TOGETHER, rule, quick);
    VECTORS(i, left, n - done, descend_some(u, done + i, left, 1, rule, quick););
}

/* update_each for the rules of a ratio */
INLINE void descend_each(const updated *u, int used, ratio_rule rule, const coefficients *c) {
    const int quick = TOGETHER > 1 && divides(c);
    for (nn_index r = 0; r < u->rows; r++) {
        const updating row = row_of_update(u, r, used, c);
        quick ? descend_row(&row, u->n, rule, 1) : descend_row(&row, u->n, rule, 0);
    }
}

#endif
