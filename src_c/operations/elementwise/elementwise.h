/* elementwise.h: activation functions with their derivatives, softmax over rows, and the small loops on n reals.
 *
 * For each ACTIVATION of kernels.def stand here y = f(z) and the derivative f′ as a function of what is saved
 * (Y or Z), both for one vector; the loops over blocks (rows,cols) are generated from the list. Every load of
 * a vector precedes its store, hence the aliasing that contract.h allows. nan comes out where nan goes in.
 *
 * References: Klambauer et al. 2017 (selu's constants); Hendrycks and Gimpel 2016 (gelu).
 */
#ifndef NNCORE_ELEMENTWISE_H
#define NNCORE_ELEMENTWISE_H

#include "vectors/lanes.h"
#include "vectors/vecmath.h"

#define SELU_SCALE REAL(1.0507009873554805)
#define SELU_ALPHA REAL(1.6732632423543772)
#define GELU_SLOPE REAL(0.79788456080286536) /* √(2/π) */
#define GELU_CUBIC REAL(0.044715)

/* Where |z| exceeds these, Φ, resp. the sigmoid, is 0 or 1 to the last bit: keeps 0 × inf out. */
#define NORMAL_END REAL(40)
#define SIGMOID_END REAL(1000)

/* F: f(z), and DERIVATIVE: f′ from y or z, as kernels.def says; p: the parameters, each in all lanes */
#define F(name) INLINE vf f_##name(vf z, const vf *p UNUSED)
#define DERIVATIVE(name, from) INLINE vf derivative_##name(vf from, const vf *p UNUSED)

F(linear) { return z; }
DERIVATIVE(linear, y) { return (void)y, vset(1); }

F(relu) { return vmax((vf){0}, z); }
DERIVATIVE(relu, y) { return vselect(y > 0, vset(1), (vf){0}); }

F(leaky_relu) { return vselect(z > 0, z, p[0] * z); }
DERIVATIVE(leaky_relu, y) { return vselect(y > 0, vset(1), p[0]); }

F(elu) { return vselect(z > 0, z, p[0] * vexpm1(z)); }
DERIVATIVE(elu, y) { return vselect(y > 0, vset(1), y + p[0]); }

F(selu) {
    const vf alpha = vset(SELU_ALPHA);
    return SELU_SCALE * f_elu(z, &alpha);
}
DERIVATIVE(selu, y) {
    return vselect(y > 0, vset(SELU_SCALE), y + SELU_SCALE * SELU_ALPHA);
}

F(sigmoid) { return vsigmoid(z); }
DERIVATIVE(sigmoid, y) { return y * (1 - y); }

F(tanh) { return vtanh(z); }
DERIVATIVE(tanh, y) { return (1 - y) * (1 + y); }

F(softplus) { return vmax((vf){0}, z) + vlog1p_unit(vexp(-vabs(z))); }
DERIVATIVE(softplus, y) { return -vexpm1(-y); } /* 1 − e⁻ʸ = sigmoid(z) */

/* z Φ(z), and Φ(z) + z φ(z) */
F(gelu) {
    z = vmax(vset(-NORMAL_END), z);
    vf density, tail = normal_tail(vmin(vset(NORMAL_END), z), &density);
    return z * vselect(z < 0, tail, 1 - tail);
}
DERIVATIVE(gelu, z) {
    z = vclamp(z, -NORMAL_END, NORMAL_END);
    vf density, tail = normal_tail(z, &density);
    return vselect(z < 0, tail, 1 - tail) + z * density;
}

/* z σ(u), u = 2 √(2/π) (z + c z³): equal to z (1 + tanh(u/2)) / 2 */
F(gelu_tanh) {
    z = vmax(vset(-NORMAL_END), z);
    return z * vsigmoid(2 * GELU_SLOPE * (z + GELU_CUBIC * z * z * z));
}
DERIVATIVE(gelu_tanh, z) {
    z = vclamp(z, -NORMAL_END, NORMAL_END);
    const vf square = z * z, s = vsigmoid(2 * GELU_SLOPE * z * (1 + GELU_CUBIC * square));
    return s + s * (1 - s) * (2 * GELU_SLOPE * z * (1 + 3 * GELU_CUBIC * square));
}

/* z σ(z) */
F(silu) {
    z = vmax(vset(-SIGMOID_END), z);
    return z * vsigmoid(z);
}
DERIVATIVE(silu, z) {
    z = vclamp(z, -SIGMOID_END, SIGMOID_END);
    const vf s = vsigmoid(z);
    return s * (1 + z * (1 - s));
}

typedef vf activation_function(vf, const vf *);

INLINE void map_rows(activation_function *f, nn_index rows, nn_index cols, const real *z, nn_index ldz, real *y,
                     nn_index ldy, const double *parameters) {
    const spread s = in_all_lanes(parameters);
    if (ldz == cols && ldy == cols) cols *= rows, rows = rows > 0; /* one long row */
    for (; rows > 0; rows--, z += ldz, y += ldy) {
        for (nn_index j = 0; j < cols; j += LANES) store_some(y + j, cols - j, f(load_some(z + j, cols - j), s.p));
    }
}

INLINE void map_rows_backward(activation_function *derivative, nn_index rows, nn_index cols, const real *saved,
                              nn_index ldsaved, const real *dy, nn_index lddy, real *dz, nn_index lddz,
                              const double *parameters) {
    const spread s = in_all_lanes(parameters);
    if (ldsaved == cols && lddy == cols && lddz == cols) cols *= rows, rows = rows > 0;
    for (; rows > 0; rows--, saved += ldsaved, dy += lddy, dz += lddz) {
        for (nn_index j = 0; j < cols; j += LANES) {
            const vf f_prime = derivative(load_some(saved + j, cols - j), s.p);
            store_some(dz + j, cols - j, load_some(dy + j, cols - j) * f_prime);
        }
    }
}

#define IS_LINEAR(name) (NN_ACTIVATION_##name == NN_ACTIVATION_linear)
#define ACTIVATION(name, saved_is, taken) \
    static void activate_##name(nn_index rows, nn_index cols, const void *z, nn_index ldz, void *y, nn_index ldy,    \
                                const double *parameters) {                                                          \
        if (IS_LINEAR(name) && y == z) return;                                                                       \
        map_rows(f_##name, rows, cols, z, ldz, y, ldy, parameters);                                                  \
    }                                                                                                                \
    static void activate_backward_##name(nn_index rows, nn_index cols, const void *saved, nn_index ldsaved,            \
                                         const void *dy, nn_index lddy, void *dz, nn_index lddz,                    \
                                         const double *parameters) {                                                 \
        if (IS_LINEAR(name) && dz == dy) return;                                                                     \
        map_rows_backward(derivative_##name, rows, cols, saved, ldsaved, dy, lddy, dz, lddz, parameters);            \
    }
#include "kernels.def"

/* Rows of n ≤ LANES: the smallest power of two `group` ≥ n. Where n is a power of two, a vector holds
 * LANES / n rows; else one. Sums and maxima then stay inside aligned groups of lanes. */
INLINE nn_index group_of(nn_index n) {
    nn_index group = 1;
    while (group < n) group *= 2;
    return group;
}

/* lane i receives lane i ^ distance */
INLINE vf exchange(vf v, nn_index distance) {
#if defined(__clang__)
    vf r;
    for (nn_index i = 0; i < LANES; i++) r[i] = v[i ^ distance];
    return r;
#else
    return __builtin_shuffle(v, lane_numbers() ^ (integer)distance);
#endif
}

INLINE vf group_sum(vf v, nn_index group) {
#pragma GCC unroll 4
    for (nn_index d = 1; d < LANES; d *= 2)
        if (d < group) v += exchange(v, d);
    return v;
}

INLINE vf group_max(vf v, nn_index group) {
#pragma GCC unroll 4
    for (nn_index d = 1; d < LANES; d *= 2)
        if (d < group) v = vmax(v, exchange(v, d));
    return v;
}

INLINE vf load_logits(const real *z, nn_index left) {
    return keep_some(load_some(z, left), left, vset(-REAL(INFINITY)));
}

/* The first `left` lanes hold whole rows, one per group. */
INLINE void softmax_groups(nn_index left, nn_index group, const real *z, real *y) {
    const vf v = load_logits(z, left), e = vexp(v - group_max(v, group));
    store_some(y, left, e * (1 / group_sum(e, group)));
}

/* A row of LANES ≤ n ≤ 2 LANES as two vectors that overlap; the second one's share of the sum are its own lanes. */
INLINE void softmax_pair(nn_index n, const real *z, real *y) {
    const nn_index second = n - LANES;
    const vi own = lane_numbers() >= (integer)(LANES - second);
    const vf a = vload(z), b = vload(z + second), top = across_max(vmax(a, b));
    const vf ea = vexp(a - top), eb = vexp(b - top), inverse = 1 / across_sum(ea + (vf)((vi)eb & own));
    vstore(y, ea * inverse);
    vstore(y + second, eb * inverse);
}

/* A row of any length, eᶻ⁻ᵐ kept in y between the passes */
INLINE void softmax_row(nn_index n, const real *z, real *y) {
    vf top = vset(-REAL(INFINITY)), sum = {0};
    for (nn_index j = 0; j < n; j += LANES) top = vmax(top, load_logits(z + j, n - j));
    top = across_max(top);
    for (nn_index j = 0; j < n; j += LANES) {
        const vf e = vexp(load_logits(z + j, n - j) - top);
        store_some(y + j, n - j, e);
        sum += e;
    }
    const vf inverse = 1 / across_sum(sum);
    for (nn_index j = 0; j < n; j += LANES) store_some(y + j, n - j, load_some(y + j, n - j) * inverse);
}

/* y = eᶻ⁻ᵐ / Σ eᶻ⁻ᵐ with m = max z; order: n */
static void softmax(nn_index rows, nn_index n, const void *z_, void *y_) {
    const real *z = z_;
    real *y = y_;
    if (n <= LANES) {
        const nn_index group = group_of(n), step = group == n ? LANES : n, total = rows * n;
        for (nn_index i = 0; i < total; i += step) softmax_groups(group == n ? total - i : n, group, z + i, y + i);
    } else if (n <= 2 * LANES) {
        for (nn_index i = 0; i < rows; i++) softmax_pair(n, z + i * n, y + i * n);
    } else {
        for (nn_index i = 0; i < rows; i++) softmax_row(n, z + i * n, y + i * n);
    }
}

/* dz = y ⊙ (dy − Σ dy y); order: n */
static void softmax_backward(nn_index rows, nn_index n, const void *y_, const void *dy_, void *dz_) {
    const real *y = y_, *dy = dy_;
    real *dz = dz_;
    if (n <= LANES) {
        const nn_index group = group_of(n), step = group == n ? LANES : n, total = rows * n;
        for (nn_index i = 0; i < total; i += step) {
            const nn_index left = group == n ? total - i : n;
            const vf v = load_some(y + i, left), g = load_some(dy + i, left);
            store_some(dz + i, left, v * (g - group_sum(v * g, group)));
        }
        return;
    }
    for (; rows > 0; rows--, y += n, dy += n, dz += n) {
        vf sum = {0};
        for (nn_index j = 0; j < n; j += LANES) sum += load_some(y + j, n - j) * load_some(dy + j, n - j);
        sum = across_sum(sum);
        for (nn_index j = 0; j < n; j += LANES)
            store_some(dz + j, n - j, load_some(y + j, n - j) * (load_some(dy + j, n - j) - sum));
    }
}

static void add_elements(nn_index n, const void *a, const void *b, void *y) {
    for (nn_index i = 0; i < n; i += LANES)
        store_some((real *)y + i, n - i, load_some((const real *)a + i, n - i) + load_some((const real *)b + i, n - i));
}

static void multiply_elements(nn_index n, const void *a, const void *b, void *y) {
    for (nn_index i = 0; i < n; i += LANES)
        store_some((real *)y + i, n - i, load_some((const real *)a + i, n - i) * load_some((const real *)b + i, n - i));
}

static void rescale(nn_index n, double scale, double offset, const void *x, void *y) {
    const vf a = vset((real)scale), b = vset((real)offset);
    for (nn_index i = 0; i < n; i += LANES)
        store_some((real *)y + i, n - i, a * load_some((const real *)x + i, n - i) + b);
}

/* y = x / (1 − rate) where u ≥ rate, else 0. u is a multiple of 2⁻²⁴, so the comparison is one of integers. */
static void dropout(nn_index n, uint64_t first, const uint64_t key[2], double rate, const void *x_, void *y_) {
    const real *x = x_;
    real *y = y_;
    assert(0 <= rate && rate < 1);
    const vf scale = vset((real)(1 / (1 - rate)));
    const integer threshold = (integer)ceil(rate * 0x1p24);
    random_block random;
    nn_index offset = (nn_index)(first % RANDOM_BLOCK), i = 0; /* element i has position offset + i in its block */
    for (uint64_t block = first / RANDOM_BLOCK; i < n; block++, offset -= RANDOM_BLOCK) {
        random_fill(&random, key, block);
        const nn_index end = n < RANDOM_BLOCK - offset ? n : RANDOM_BLOCK - offset;
        for (; i < end; i += LANES) {
            const vi keep = random_24bits(&random, offset + i) >= threshold;
            store_some(y + i, end - i, (vf)((vi)(scale * load_some(x + i, end - i)) & keep));
        }
        i = end;
    }
}

SPAN(activate) {
    run->table->activate[op->function](1, count, at(run, op->Z, first), count, at(run, op->Y, first), count,
                                       op->parameters);
}
SPAN(activate_backward) {
    run->table->activate_backward[op->function](1, count, at(run, op->saved, first), count, at(run, op->dY, first),
                                                count, at(run, op->dZ, first), count, op->parameters);
}
SPAN(prelu) {
    const nn_index n = op->n;
    const real *x = at(run, op->X, first * n), *slope = at(run, op->slope, 0);
    real *y = at(run, op->Y, first * n);
    for (; count > 0; count--, x += n, y += n)
        for (nn_index j = 0; j < n; j += LANES) {
            const vf v = load_some(x + j, n - j);
            store_some(y + j, n - j, vselect(v > 0, v, load_some(slope + j, n - j) * v));
        }
}
SPAN(prelu_backward) {
    const nn_index n = op->n;
    const real *x = at(run, op->X, first * n), *slope = at(run, op->slope, 0), *dy = at(run, op->dY, first * n);
    real *dx = at(run, op->dX, first * n), *scaled = at(run, op->dY_scaled, first * n);
    for (nn_index i = 0; i < count * n; i += n)
        for (nn_index j = 0; j < n; j += LANES) {
            const vf v = load_some(x + i + j, n - j), d = load_some(dy + i + j, n - j), zero = {0};
            if (dx) store_some(dx + i + j, n - j, vselect(v > 0, d, load_some(slope + j, n - j) * d));
            if (scaled) store_some(scaled + i + j, n - j, d * vmin(zero, v)); /* nan stays */
        }
}
SPAN(softmax) { softmax(count, op->n, at(run, op->Z, first * op->n), at(run, op->Y, first * op->n)); }
SPAN(softmax_backward) {
    const nn_index i = first * op->n;
    softmax_backward(count, op->n, at(run, op->Y, i), at(run, op->dY, i), at(run, op->dZ, i));
}
SPAN(dropout) {
    const uint64_t key[2] = {run->seed, (uint64_t)op->layer << 48 ^ (uint64_t)*run->step};
    const double rate = op->scheduled ? nn_now(run, op->scheduled) : op->rate;
    dropout(count, (uint64_t)first, key, rate, at(run, op->X, first), at(run, op->Y, first));
}
SPAN(rescale) { rescale(count, op->scale, op->offset, at(run, op->X, first), at(run, op->Y, first)); }
SPAN(add) { add_elements(count, at(run, op->A, first), at(run, op->B, first), at(run, op->Y, first)); }
SPAN(multiply) { multiply_elements(count, at(run, op->A, first), at(run, op->B, first), at(run, op->Y, first)); }
SPAN(fill) {
    real *y = at(run, op->Y, first);
    for (nn_index i = 0; i < count; i += LANES) store_some(y + i, count - i, vset((real)op->value));
}
SPAN(copy) {
    const real *x = at(run, op->X, first * op->x_row);
    real *y = at(run, op->Y, first * op->y_row);
    for (; count > 0; count--, x += op->x_row, y += op->y_row) memcpy(y, x, (size_t)op->n * sizeof(real));
}

#endif
