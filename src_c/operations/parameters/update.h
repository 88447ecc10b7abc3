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

/* Sets of state arrays, known to the compiler wherever a rule is applied. */
enum { STATE_0 = 1, STATE_1 = 2, STATE_2 = 4 };

INLINE void update_some(nn_index i, nn_index left, real *W, const real *g, void *const state[NN_STATES], int used,
                        update_rule rule, const coefficients *c) {
    vf s[NN_STATES] = {{0}};
    for (int k = 0; k < NN_STATES; k++)
        if (used >> k & 1) s[k] = load_some((real *)state[k] + i, left);
    vf w = load_some(W + i, left);
    const vf clipped = vclamp(c->scale * load_some(g + i, left), -c->clip, c->clip);
    w -= c->decay * w;
    store_some(W + i, left, rule(w, clipped, s, c));
    for (int k = 0; k < NN_STATES; k++)
        if (used >> k & 1) store_some((real *)state[k] + i, left, s[k]);
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

INLINE void update_each(const updated *u, int used, update_rule rule, const coefficients *c) {
    const nn_index n = u->n;
    for (nn_index r = 0; r < u->rows; r++) {
        const nn_index first = u->ids ? u->ids[r] * n : r * n;
        real *const W = (real *)u->W + first;
        const real *const g = (const real *)u->g + r * n;
        void *state[NN_STATES]; /* a copy that stores cannot alias */
        for (int k = 0; k < NN_STATES; k++) state[k] = used >> k & 1 ? (real *)u->state[k] + first : NULL;
        nn_index i = 0;
        for (; i + LANES <= n; i += LANES) update_some(i, LANES, W, g, state, used, rule, c);
        if (i < n) update_some(i, n - i, W, g, state, used, rule, c);
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

/* x / y for |x| ≤ η ROOT_MAX and y from ε to ε + ROOT_MAX, where ROOT_MAX is 2⁶³ and ε at least its inverse:
 * so that y and x / y suit VDIVIDE. The compiler makes a loop for each case. */
INLINE vf ratio(vf x, vf y, const coefficients *c) {
#ifdef VDIVIDE
    if (c->epsilon <= 0x1p60f && c->eta <= 0x1p39f * (c->epsilon < 1 ? c->epsilon : 1)) return VDIVIDE(x, y);
#endif
    (void)c;
    return x / y;
}

#endif
