/* rules.h: the rules without a running mean of gradients: SGD, and those that divide by a root of squares. */
#ifndef NNCORE_RULES_H
#define NNCORE_RULES_H

#include "operations/parameters/update.h"

/* Stochastic gradient descent; momentum as in Sutskever et al. 2013, equations 1–4. State: the velocity. */
INLINE vf sgd_plain(vf W, vf g, vf s[], const coefficients *c) {
    (void)s;
    return W - c->eta * g;
}

INLINE vf sgd_momentum(vf W, vf g, vf s[], const coefficients *c) {
    s[0] = c->mu * s[0] - c->eta * g;
    return W + s[0];
}

INLINE vf sgd_nesterov(vf W, vf g, vf s[], const coefficients *c) {
    s[0] = c->mu * s[0] - c->eta * g;
    return W + (c->mu * s[0] - c->eta * g);
}

UPDATE(sgd) {
    const nn_sgd *own = numbers;
    coefficients c = coefficients_of(r);
    c.mu = (real)own->momentum;
    if (own->momentum == 0)
        update_each(u, 0, sgd_plain, &c);
    else if (own->nesterov != 0)
        update_each(u, STATE_0, sgd_nesterov, &c);
    else
        update_each(u, STATE_0, sgd_momentum, &c);
}

/* Tieleman & Hinton 2012, lecture 6.5; centered: Graves 2013, equations 38–41. State: v, m, average of g.
 * Rounding can push v − average² below 0 where g hardly varies: there it counts as 0. */
INLINE vf rmsprop_increment(vf g, vf s[], const coefficients *c, int centered) {
    vf variance = s[0] = mixed(c->rho, s[0], c->gain_rho, g * g);
    if (centered) {
        s[2] = mixed(c->rho, s[2], c->gain_rho, g);
        variance = vmax((vf){0}, s[0] - s[2] * s[2]);
    }
    return c->eta * g / vsqrt(variance + c->epsilon);
}

INLINE vf rmsprop(vf W, vf g, vf s[], const coefficients *c) { return W - rmsprop_increment(g, s, c, 0); }
INLINE vf rmsprop_centered(vf W, vf g, vf s[], const coefficients *c) { return W - rmsprop_increment(g, s, c, 1); }

INLINE vf rmsprop_momentum(vf W, vf g, vf s[], const coefficients *c) {
    s[1] = c->mu * s[1] + rmsprop_increment(g, s, c, 0);
    return W - s[1];
}

INLINE vf rmsprop_centered_momentum(vf W, vf g, vf s[], const coefficients *c) {
    s[1] = c->mu * s[1] + rmsprop_increment(g, s, c, 1);
    return W - s[1];
}

UPDATE(rmsprop) {
    const nn_rmsprop *own = numbers;
    coefficients c = coefficients_of_ratio(r, own->epsilon, MIN_NORMAL);
    c.mu = (real)own->momentum, c.rho = (real)own->rho, c.gain_rho = (real)(1 - own->rho);
    if (own->momentum > 0 && own->centered != 0)
        update_each(u, STATE_0 | STATE_1 | STATE_2, rmsprop_centered_momentum, &c);
    else if (own->momentum > 0)
        update_each(u, STATE_0 | STATE_1, rmsprop_momentum, &c);
    else if (own->centered != 0)
        update_each(u, STATE_0 | STATE_2, rmsprop_centered, &c);
    else
        update_each(u, STATE_0, rmsprop, &c);
}

/* A sum of squares, which stays finite. */
INLINE vf sum_of_squares(vf s, vf g) {
    const vf sum = s + g * g;
    return vselect(sum > REAL_MAX, vset(REAL_MAX), sum);
}

/* Duchi et al. 2011, figure 1 (diagonal). State: the sum of squares, which starts at `initial`. */
INLINE vf adagrad(vf W, vf g, vf s[], const coefficients *c) {
    s[0] = sum_of_squares(s[0], g);
    return W - c->eta * g / vsqrt(s[0] + c->epsilon);
}

INLINE vf adagrad_first(vf W, vf g, vf s[], const coefficients *c) {
    s[0] = vset(c->initial);
    return adagrad(W, g, s, c);
}

UPDATE(adagrad) {
    const nn_adagrad *own = numbers;
    coefficients c = coefficients_of_ratio(r, own->epsilon, MIN_NORMAL);
    c.initial = (real)own->initial_accumulator_value;
    if (r->step == 1)
        update_each(u, STATE_0, adagrad_first, &c);
    else
        update_each(u, STATE_0, adagrad, &c);
}

/* Zeiler 2012, algorithm 1. State: means of g² and of the squares of the increments. */
INLINE vf adadelta(vf W, vf g, vf s[], const coefficients *c) {
    s[0] = mixed(c->rho, s[0], c->gain_rho, g * g);
    const vf d = vsqrt(s[1] + c->epsilon) / vsqrt(s[0] + c->epsilon) * g;
    s[1] = mixed(c->rho, s[1], c->gain_rho, d * d);
    return W - c->eta * d;
}

UPDATE(adadelta) {
    const nn_adadelta *own = numbers;
    coefficients c = coefficients_of_ratio(r, own->epsilon, MIN_NORMAL);
    c.rho = (real)own->rho, c.gain_rho = (real)(1 - own->rho);
    update_each(u, STATE_0 | STATE_1, adadelta, &c);
}

/* McMahan et al. 2013, algorithm 1, with any power p = −learning_rate_power of n, β, and l2 of the loss itself
 * (shrinkage). State: n, the sum of squares, which starts at `initial`, and z, the sum of g − σ W with
 * σ = (n^p − n₋^p) / η. W = η (clip(z, ±l1) − z) / (n^p + 2 η l2 + β). The difference of powers is taken
 * without cancellation. */
INLINE vf ftrl_step(vf W, vf g, vf s[], const coefficients *c, int root) {
    const vf before = vmax(s[0], vset(MIN_NORMAL)); /* 0: the padding of a file that was read */
    const vf after = s[0] = sum_of_squares(before, g);
    vf high, rise;
    if (root) {
        high = vsqrt(after);
        rise = g * g / (vsqrt(before) + high);
    } else {
        const vf low = vexp(c->own[0] * vlog(before));
        rise = low * vexpm1(c->own[0] * vlog1p(g * g / before));
        high = low + rise;
    }
    s[1] += (g + c->own[2] * W) - rise / c->eta * W;
    return c->eta * (vclamp(s[1], -c->own[1], c->own[1]) - s[1]) / (high + c->own[3]);
}

INLINE vf ftrl_root(vf W, vf g, vf s[], const coefficients *c) { return ftrl_step(W, g, s, c, 1); }
INLINE vf ftrl_power(vf W, vf g, vf s[], const coefficients *c) { return ftrl_step(W, g, s, c, 0); }

INLINE vf ftrl_root_first(vf W, vf g, vf s[], const coefficients *c) {
    s[0] = vset(c->initial);
    return ftrl_step(W, g, s, c, 1);
}

INLINE vf ftrl_power_first(vf W, vf g, vf s[], const coefficients *c) {
    s[0] = vset(c->initial);
    return ftrl_step(W, g, s, c, 0);
}

INLINE vf ftrl_idle(vf W, vf g, vf s[], const coefficients *c) {
    (void)g;
    s[0] = vset(c->initial);
    return W;
}

UPDATE(ftrl) {
    const nn_ftrl *own = numbers;
    coefficients c = coefficients_of_ratio(r, 0, MIN_NORMAL);
    const int root = own->learning_rate_power == -0.5;
    c.initial = (real)fmax(own->initial_accumulator_value, MIN_NORMAL);
    c.own[0] = (real)-own->learning_rate_power;
    c.own[1] = (real)own->l1_regularization_strength;
    c.own[2] = (real)(2 * own->l2_shrinkage_regularization_strength);
    c.own[3] = (real)(2 * r->learning_rate * own->l2_regularization_strength + own->beta);
    if (r->learning_rate == 0) { /* σ would be infinite: W stays */
        if (r->step == 1) update_each(u, STATE_0, ftrl_idle, &c);
    } else if (r->step == 1 && root)
        update_each(u, STATE_0 | STATE_1, ftrl_root_first, &c);
    else if (r->step == 1)
        update_each(u, STATE_0 | STATE_1, ftrl_power_first, &c);
    else if (root)
        update_each(u, STATE_0 | STATE_1, ftrl_root, &c);
    else
        update_each(u, STATE_0 | STATE_1, ftrl_power, &c);
}

#endif
