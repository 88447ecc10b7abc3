/* terms.h: losses that are a mean or a sum over elements: TERM and SUM of kernels.def. Formulas are those of Keras 3,
 * in nncore/losses/ beside each class. */
#ifndef NNCORE_LOSS_TERMS_H
#define NNCORE_LOSS_TERMS_H

#include "operations/losses/forms.h"

INLINE term mean_squared_error_term(vf p, vf t, const vf *parameters UNUSED) {
    const vf d = p - t;
    return (term){.value = d * d, .slope = 2 * d};
}

INLINE vf sign_of(vf d) { /* 0 and nan stay */
    const vf one = vset(1);
    return vselect(d > 0, one, vselect(d < 0, -one, d));
}

INLINE term mean_absolute_error_term(vf p, vf t, const vf *parameters UNUSED) {
    const vf d = p - t;
    return (term){.value = vabs(d), .slope = sign_of(d)};
}

/* Huber 1964: d²/2 near 0, δ(|d| − δ/2) beyond δ; with c = min(|d|, δ) both are c(|d| − c/2). */
INLINE term huber_term(vf p, vf t, const vf *parameters) {
    const vf delta = parameters[0], d = p - t, c = vmin(delta, vabs(d)); /* nan stays */
    return (term){.value = c * (vabs(d) - (real)0.5 * c), .slope = vmax(-delta, vmin(delta, d))};
}

INLINE term mean_absolute_percentage_error_term(vf p, vf t, const vf *parameters UNUSED) {
    const vf d = p - t, share = 100 / vmax(vset(PROBABILITY_MIN), vabs(t));
    return (term){.value = vabs(d) * share, .slope = sign_of(d) * share};
}

INLINE term mean_squared_logarithmic_error_term(vf p, vf t, const vf *parameters UNUSED) {
    const vf least = vset(PROBABILITY_MIN), a = vmax(least, p), d = vlog1p(a) - vlog1p(vmax(least, t));
    return (term){.value = d * d, .slope = vselect(p < least, (vf){0}, 2 * d / (1 + a))};
}

/* log cosh d = log1p(2 sinh²(d/2)) near 0, where |d| + log1p(exp(−2|d|)) − log 2 cancels. */
INLINE term log_cosh_term(vf p, vf t, const vf *parameters UNUSED) {
    const vf d = p - t, a = vabs(d), h = vexpm1(vmin(vset(1), REAL(0.5) * a)), s = REAL(0.5) * (h + h / (1 + h));
    const vf outer = (a - REAL(0.69314718055994531)) + vlog1p_unit(vexp(-2 * a));
    return (term){.value = vselect(a < 1, vlog1p(2 * s * s), outer), .slope = vtanh(d)};
}

INLINE vf side_of(vf t) { return vselect(t == 0, vset(-1), t); } /* classes 0 and 1, or −1 and 1 */

INLINE vf where_active(vf left, vf slope) { return vselect(left > 0, slope, vselect(left <= 0, (vf){0}, left)); }

INLINE term hinge_term(vf p, vf t, const vf *parameters UNUSED) {
    const vf side = side_of(t), left = 1 - side * p;
    return (term){.value = vmax((vf){0}, left), .slope = where_active(left, -side)};
}

INLINE term squared_hinge_term(vf p, vf t, const vf *parameters UNUSED) {
    const vf side = side_of(t), left = 1 - side * p, active = vmax((vf){0}, left);
    return (term){.value = active * active, .slope = where_active(left, -2 * side * active)};
}

INLINE term poisson_term(vf p, vf t, const vf *parameters UNUSED) {
    const vf more = p + PROBABILITY_MIN;
    return (term){.value = p - t * vlog(more), .slope = 1 - t / more};
}

/* t log(t / q) with both clipped to [ε, 1]; flat where p is clipped. */
INLINE term kl_divergence_term(vf p, vf t, const vf *parameters UNUSED) {
    const vf low = vset(PROBABILITY_MIN), one = vset(1), q = vmin(one, vmax(low, p)), u = vmin(one, vmax(low, t));
    return (term){.value = u * (vlog(u) - vlog(q)), .slope = vselect((p < low) | (p > one), (vf){0}, -u / q)};
}

/* -- binary crossentropies: parameter 0 is label_smoothing -- */

INLINE vf smoothed(vf t, vf smoothing, real classes) { return t * (1 - smoothing) + smoothing / classes; }

/* −t log q − (1 − t) log(1 − q) with q = p clipped to [ε, 1 − ε]; flat where p is clipped. */
INLINE term binary_crossentropy_term(vf p, vf given, const vf *parameters) {
    const vf zero = {0}, t = smoothed(given, parameters[0], 2), q = clip_probability(p);
    return (term){.value = -(t * vlog(q) + (1 - t) * vlog1p(-q)),
                  .slope = vselect(clipped(p), zero, (q - t) / (q * (1 - q)))};
}

/* The same of q = sigmoid(x): max(x, 0) − x t + log(1 + exp(−|x|)). */
INLINE term binary_crossentropy_logits_term(vf x, vf given, const vf *parameters) {
    const vf t = smoothed(given, parameters[0], 2);
    const vf e = vexp(-vabs(x)), inverse = 1 / (1 + e), zero = {0};
    const vf q = vselect(x < 0, e * inverse, inverse);
    return (term){.value = vmax(zero, x) - x * t + vlog1p_unit(e), .slope = q - t, .prob = q};
}

/* Lin et al. 2017: w uᵞ b with b the crossentropy, u = t (1 − p) + (1 − t) p what is missing to the truth, and
 * w = t α + (1 − t)(1 − α) where classes are balanced. Its slope by p or x, given those of b and u. */
INLINE term focal(term b, vf t, vf u, vf du, const vf *parameters) {
    const vf gamma = parameters[1], alpha = parameters[2], one = vset(1);
    const vf weight = vselect(parameters[3] != 0, t * alpha + (1 - t) * (1 - alpha), one);
    const vf f = weight * vpower(u, gamma), rate = gamma * f / vmax(vset(PROBABILITY_MIN), u);
    return (term){.value = f * b.value, .slope = f * b.slope + rate * du * b.value, .prob = b.prob};
}

INLINE term binary_focal_crossentropy_term(vf p, vf given, const vf *parameters) {
    const vf t = smoothed(given, parameters[0], 2), u = vmax((vf){0}, t * (1 - p) + (1 - t) * p);
    return focal(binary_crossentropy_term(p, given, parameters), t, u, 1 - 2 * t, parameters);
}

INLINE term binary_focal_crossentropy_logits_term(vf x, vf given, const vf *parameters) {
    const vf t = smoothed(given, parameters[0], 2);
    const term b = binary_crossentropy_logits_term(x, given, parameters);
    const vf e = vexp(-vabs(x)), other = vselect(x < 0, vset(1), e) / (1 + e), q = b.prob; /* 1 − q */
    return focal(b, t, t * other + (1 - t) * q, (1 - 2 * t) * q * other, parameters);
}

/* -- deviances of exponential families, of a mean μ = max(p, ε) > 0 -- */

INLINE vf mean_of(vf p) { return vmax(vset(PROBABILITY_MIN), p); }
INLINE vf slope_of_mean(vf p, vf slope) { return vselect(p < PROBABILITY_MIN, (vf){0}, slope); }

/* 2 (t log(t/μ) − t + μ) */
INLINE term poisson_deviance_term(vf p, vf t, const vf *parameters UNUSED) {
    const vf mean = mean_of(p), entropy = vselect(t == 0, (vf){0}, t * vlog(t / mean));
    return (term){.value = 2 * (entropy - t + mean), .slope = slope_of_mean(p, 2 - 2 * t / mean)};
}

/* 2 (log(μ/t) + t/μ − 1) */
INLINE term gamma_deviance_term(vf p, vf t, const vf *parameters UNUSED) {
    const vf mean = mean_of(p), ratio = t / mean;
    return (term){.value = 2 * (ratio - 1 - vlog(ratio)), .slope = slope_of_mean(p, 2 * (1 - ratio) / mean)};
}

/* Tweedie 1984, Jørgensen 1987, of the power p:
 * 2 (max(t, 0)²⁻ᵖ / ((1 − p)(2 − p)) − t μ¹⁻ᵖ / (1 − p) + μ²⁻ᵖ / (2 − p)) */
INLINE term tweedie_deviance_term(vf p, vf t, const vf *parameters) {
    const vf a = 1 - parameters[0], b = 2 - parameters[0], mean = mean_of(p), power = vpower(mean, a);
    const vf own = vpower(vmax(t, (vf){0}), b) / (a * b);
    return (term){.value = 2 * (own - t * power / a + mean * power / b),
                  .slope = slope_of_mean(p, 2 * power * (1 - t / mean))};
}

/* Hadsell, Chopra, LeCun 2006: t d² + (1 − t) max(margin − d, 0)² of a distance d; t = 1: alike. */
INLINE term contrastive_term(vf d, vf t, const vf *parameters) {
    const vf lacks = vmax((vf){0}, parameters[0] - d);
    return (term){.value = t * d * d + (1 - t) * lacks * lacks, .slope = 2 * (t * d - (1 - t) * lacks)};
}

#endif
