/* moments.h: the rules with a running mean of gradients. */
#ifndef NNCORE_MOMENTS_H
#define NNCORE_MOMENTS_H

#include "operations/parameters/update.h"

/* Kingma & Ba 2015, algorithm 1; with weight_decay: AdamW. State: m, v. */
INLINE void adam(vf g, vf s[], const coefficients *c, vf *x, vf *y) {
    s[0] = follow(s[0], g, c->gain_1);
    s[1] = follow(s[1], g * g, c->gain_2);
    *x = c->eta * s[0];
    *y = vsqrt(s[1]) + c->epsilon;
}

/* Reddi et al. 2018, algorithm 2. State: m, v, the greatest v so far. */
INLINE void amsgrad(vf g, vf s[], const coefficients *c, vf *x, vf *y) {
    s[0] = follow(s[0], g, c->gain_1);
    s[1] = follow(s[1], g * g, c->gain_2);
    s[2] = vmax(s[2], s[1]);
    *x = c->eta * s[0];
    *y = vsqrt(s[2]) + c->epsilon;
}

UPDATE(adam) {
    const nn_adam *own = numbers;
    coefficients c = coefficients_of_ratio(r, own->epsilon, 1 / ROOT_MAX);
    c.eta = (real)(r->learning_rate * sqrt(1 - pow(own->beta_2, r->step)) / (1 - pow(own->beta_1, r->step)));
    c.gain_1 = (real)(1 - own->beta_1), c.gain_2 = (real)(1 - own->beta_2);
    if (own->amsgrad != 0)
        descend_each(u, STATE_0 | STATE_1 | STATE_2, amsgrad, &c);
    else
        descend_each(u, STATE_0 | STATE_1, adam, &c);
}

/* You et al. 2020, algorithm 2: Adam's direction u = m̂ / (√v̂ + ε), scaled to each parameter's norm. This is its
 * first pass, of state m, v alone; `measure` and `trust` of parameters.h are the others. */
INLINE vf lamb_moments(vf W, vf g, vf s[], const coefficients *c) {
    s[0] = follow(s[0], g, c->gain_1);
    s[1] = follow(s[1], g * g, c->gain_2);
    return W;
}

INLINE vf lamb_direction(vf m, vf v, const coefficients *c) {
    return m * c->own[0] / (vsqrt(v) * c->own[1] + c->epsilon);
}

INLINE coefficients coefficients_of_lamb(const nn_rule *r, const nn_lamb *own) {
    coefficients c = coefficients_of_ratio(r, own->epsilon, 1 / ROOT_MAX);
    c.gain_1 = (real)(1 - own->beta_1), c.gain_2 = (real)(1 - own->beta_2);
    c.own[0] = (real)(1 / (1 - pow(own->beta_1, r->step)));
    c.own[1] = (real)(1 / sqrt(1 - pow(own->beta_2, r->step)));
    return c;
}

UPDATE(lamb) {
    const coefficients c = coefficients_of_lamb(r, numbers);
    update_each(u, STATE_0 | STATE_1, lamb_moments, &c);
}

/* Muon's rule for what is no matrix of weights: AdamW. State: m, v. */
UPDATE(muon) {
    const nn_muon *own = numbers;
    update_adam(u->rows, u->ids, u->n, u->W, u->g, u->state, r,
                &(nn_adam){.beta_1 = own->adam_beta_1, .beta_2 = own->adam_beta_2, .epsilon = own->epsilon});
}

/* Kingma & Ba 2015, algorithm 2. State: m, and a running maximum of |g|. */
INLINE vf adamax(vf W, vf g, vf s[], const coefficients *c) {
    s[0] = follow(s[0], g, c->gain_1);
    s[1] = vmax(c->beta_2 * s[1], vabs(g));
    return W - c->eta * (s[0] / (s[1] + c->epsilon));
}

UPDATE(adamax) {
    const nn_adamax *own = numbers;
    coefficients c = coefficients_of(r);
    c.clip = (real)fmin(r->clip_value, REAL_MAX / 4); /* so that g − m is finite */
    c.epsilon = (real)fmax(own->epsilon, MIN_NORMAL);
    c.eta = (real)(r->learning_rate / (1 - pow(own->beta_1, r->step)));
    c.gain_1 = (real)(1 - own->beta_1), c.beta_2 = (real)own->beta_2;
    update_each(u, STATE_0 | STATE_1, adamax, &c);
}

/* ln Π (1 − ½ qⁱ), i = 1 … t, q = 0.96, as a series: −Σ (½ q)ᵏ (1 − qᵏᵗ) / (k (1 − qᵏ)). */
static double log_of_schedule(double t) {
    const double q = 0.96, far = pow(q, t);
    double sum = 0, half = 1, near = 1, end = 1;
    for (int k = 1; k <= 52; k++) {
        half *= 0.5, near *= q, end *= far;
        sum -= half * near * (1 - end) / (k * (1 - near));
    }
    return sum;
}

/* Dozat 2016: Adam with Nesterov's momentum, μ_t = β₁ (1 − ½ 0.96ᵗ). State: m, v. */
INLINE void nadam(vf g, vf s[], const coefficients *c, vf *x, vf *y) {
    s[0] = follow(s[0], g, c->gain_1);
    s[1] = follow(s[1], g * g, c->gain_2);
    *x = mixed(c->own[0], s[0], c->own[1], g);
    *y = vsqrt(s[1]) * c->own[2] + c->epsilon;
}

UPDATE(nadam) {
    const nn_nadam *own = numbers;
    coefficients c = coefficients_of_ratio(r, own->epsilon, 1 / ROOT_MAX);
    const double t = r->step, now = own->beta_1 * (1 - 0.5 * pow(0.96, t));
    const double next = own->beta_1 * (1 - 0.5 * pow(0.96, t + 1));
    const double product = pow(own->beta_1, t) * exp(log_of_schedule(t));
    c.gain_1 = (real)(1 - own->beta_1), c.gain_2 = (real)(1 - own->beta_2);
    c.own[0] = (real)(r->learning_rate * next / (1 - product * next));
    c.own[1] = (real)(r->learning_rate * (1 - now) / (1 - product));
    c.own[2] = (real)(1 / sqrt(1 - pow(own->beta_2, t)));
    c.eta = c.own[0] + c.own[1];
    descend_each(u, STATE_0 | STATE_1, nadam, &c);
}

/* Chen et al. 2023, algorithm 2. State: m. */
INLINE vf lion(vf W, vf g, vf s[], const coefficients *c) {
    const vf d = mixed(c->beta_1, s[0], c->gain_1, g);
    s[0] = mixed(c->beta_2, s[0], c->gain_2, g);
    return W - c->eta * vselect(d > 0, vset(1), vselect(d < 0, vset(-1), d)); /* NaN stays */
}

UPDATE(lion) {
    const nn_lion *own = numbers;
    coefficients c = coefficients_of(r);
    c.beta_1 = (real)own->beta_1, c.gain_1 = (real)(1 - own->beta_1);
    c.beta_2 = (real)own->beta_2, c.gain_2 = (real)(1 - own->beta_2);
    update_each(u, STATE_0, lion, &c);
}

/* Defazio et al. 2024, algorithm 1, in terms of y = W, where gradients are taken: x = z + (y − z) / β₁ is the
 * mean of the z so far. State: z, which starts as W, and v. */
INLINE vf schedule_free(vf W, vf g, vf s[], const coefficients *c) {
    const vf z = s[0];
    s[1] = follow(s[1], g * g, c->gain_2);
    s[0] -= ratio(c->eta * g, vsqrt(s[1]) * c->own[0] + c->epsilon, c);
    vf x = z + (W - z) * c->own[1];
    x += c->own[2] * (s[0] - x);
    return s[0] + c->beta_1 * (x - s[0]);
}

INLINE vf schedule_free_first(vf W, vf g, vf s[], const coefficients *c) {
    s[0] = W;
    return schedule_free(W, g, s, c);
}

UPDATE(schedule_free_adamw) {
    const nn_schedule_free_adamw *own = numbers;
    coefficients c = coefficients_of_ratio(r, own->epsilon, 1 / ROOT_MAX);
    const double warm = own->warmup_steps > 0 ? fmin(r->step / own->warmup_steps, 1) : 1;
    c.eta = (real)(r->learning_rate * warm);
    c.beta_1 = (real)own->beta_1, c.gain_2 = (real)(1 - own->beta_2);
    c.own[0] = (real)(1 / sqrt(1 - pow(own->beta_2, r->step)));
    c.own[1] = (real)(1 / own->beta_1), c.own[2] = (real)(1 / r->step);
    if (r->step == 1)
        update_each(u, STATE_0 | STATE_1, schedule_free_first, &c);
    else
        update_each(u, STATE_0 | STATE_1, schedule_free, &c);
}

#endif
