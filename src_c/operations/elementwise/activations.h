/* activations.h: activation functions with their derivatives.
 *
 * For each ACTIVATION of kernels.def stand here y = f(z) and the derivative f′ as a function of what is saved
 * (Y or Z), both for one vector; the loops over blocks (rows,cols) are generated from the list. Every load of
 * a vector precedes its store, hence the aliasing that contract.h allows. nan comes out where nan goes in.
 * At a kink f′ is that of the flatter side, as in PyTorch.
 *
 * References: Klambauer et al. 2017 (selu's constants); Hendrycks and Gimpel 2016 (gelu). The polynomials are fits as
 * those of vecmath.h.
 */
#ifndef NNCORE_ACTIVATIONS_H
#define NNCORE_ACTIVATIONS_H

#include "vectors/lanes.h"
#include "vectors/vecmath.h"

#define SELU_SCALE REAL(1.0507009873554805)
#define SELU_ALPHA REAL(1.6732632423543772)
#define GELU_SLOPE REAL(0.79788456080286536) /* √(2/π) */
#define GELU_CUBIC REAL(0.044715)

/* Where |z| exceeds these, Φ, resp. the sigmoid, is 0 or 1 to the last bit: keeps 0 × inf out. */
#define NORMAL_END REAL(40)
#define SIGMOID_END REAL(1000)
#define MISH_END REAL(25) /* from where on tanh(log(1 + eᶻ)) is 1, and e³ᶻ finite */
#define ONE_MORE_END REAL(0x1p60) /* 1 + |z| is |z|, √(z² + b) is |z|; and its square is finite */
#define HARD_END REAL(3)
#define SIXTH REAL(0.16666666666666667) /* × 6 is 1 */

/* (z − tanh z) / z³ in z² on |z| ≤ 1 */
#if NN_REAL_BITS == 32 /* 5.3e-9 */
static const real SHRINK_POLY[] = {0.3333333316,  -0.1333331069, 0.05396342093,  -0.02182958539,
                                   0.008697950841, -0.003206953427, 0.000923609138, -0.0001428239307};
#else /* 1.2e-18 */
static const real SHRINK_POLY[] = {
    0.333333333333333333, -0.133333333333333101, 0.0539682539682315605, -0.0218694885352980149, 0.00886323551258916712,
    -0.00359212782366779803, 0.00145583265338105052, -0.000590017576721286492, 0.00023908846484202428,
    -9.67910921292393657e-5, 3.89918701888131372e-5, -1.54164507829851029e-5, 5.77765331642003849e-6,
    -1.92181364360603085e-6, 5.12330058093383867e-7, -9.36561208126034011e-8, 8.53999149351427802e-9};
#endif

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

F(cospi) {
    vf sine;
    return vcospi_sinpi(z, &sine);
}
DERIVATIVE(cospi, z) {
    vf sine;
    vcospi_sinpi(z, &sine);
    return REAL(-3.1415926535897932) * sine;
}

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

/* z from the threshold p[2] on, at most p[1]; below it p[0] (z − p[2]), which is ≤ 0 */
F(relu_general) {
    const vf beyond = vmin(p[1], z); /* the second of both, where the first is nan */
    const vf below = vselect(p[0] == 0, (vf){0}, p[0] * (z - p[2])); /* not 0 × inf */
    return vselect(z > p[2], beyond, vselect(z <= p[2], below, z));
}
DERIVATIVE(relu_general, y) { return vselect(y >= p[1], (vf){0}, vselect(y > 0, vset(1), p[0])); }

F(celu) { return vselect(z > 0, z, p[0] * vexpm1(z / p[0])); }
DERIVATIVE(celu, y) { return vselect(y > 0, vset(1), y / p[0] + 1); }

F(exponential) { return vexp(z); }
DERIVATIVE(exponential, y) { return y; }

/* 1 where low < y < high */
INLINE vf inside(vf y, real low, real high) { return (vf)((vi)vset(1) & (y > low) & (y < high)); }

/* The sum first, which is exact at the left end, then the factor, which is so at the right one */
F(hard_sigmoid) { return SIXTH * vclamp(z + HARD_END, 0, 2 * HARD_END); }
DERIVATIVE(hard_sigmoid, y) { return SIXTH * inside(y, 0, 1); }

F(hard_silu) {
    z = vmax(vset(-HARD_END), z);
    return z * (SIXTH * vmin(vset(2 * HARD_END), z + HARD_END));
}
DERIVATIVE(hard_silu, z) {
    const vf slope = SIXTH * (2 * z + HARD_END);
    return vselect(z <= -HARD_END, (vf){0}, vselect(z >= HARD_END, vset(1), slope));
}

/* Twice z, so that a denormal becomes 0 */
F(hard_tanh) { return REAL(0.5) * vclamp(2 * z, -2, 2); }
DERIVATIVE(hard_tanh, y) { return inside(y, -1, 1); }

F(hard_shrink) { return vselect(vabs(z) <= p[0], (vf){0}, z); }
DERIVATIVE(hard_shrink, y) { return vselect(y == 0, (vf){0}, vset(1)); }

F(log_sigmoid) { return vmin((vf){0}, z) - vlog1p_unit(vexp(-vabs(z))); }
DERIVATIVE(log_sigmoid, y) { return -vexpm1(y); } /* 1 − eʸ = sigmoid(−z) */

/* z t, t = tanh(log(1 + eᶻ)) = ((1 + eᶻ)² − 1) / ((1 + eᶻ)² + 1) = n / (n + 2), n = eᶻ (eᶻ + 2) */
INLINE vf mish_power(vf z, vf *n) {
    const vf e = vexp(vmin(vset(MISH_END), z));
    *n = unfused(e * (e + 2));
    return e;
}
F(mish) {
    vf n;
    z = vmax(vset(-SIGMOID_END), z);
    mish_power(z, &n);
    return z * (n / (n + 2));
}
DERIVATIVE(mish, z) { /* t + z (1 − t²) σ(z), 1 − t = 2 / (n + 2), σ(z) = eᶻ / (1 + eᶻ) */
    vf n;
    z = vclamp(z, -SIGMOID_END, SIGMOID_END);
    const vf e = mish_power(z, &n), inverse = 1 / ((n + 2) * (1 + e)), t = n * (1 + e) * inverse;
    return t + z * (2 * e * inverse) * (1 + t);
}

F(soft_shrink) { return z - vmax(-p[0], vmin(p[0], z)); }
DERIVATIVE(soft_shrink, y) { return vselect(y == 0, (vf){0}, vset(1)); }

F(softsign) {
    z = vclamp(z, -ONE_MORE_END, ONE_MORE_END);
    return z / (1 + vabs(z));
}
DERIVATIVE(softsign, y) {
    const vf rest = 1 - vabs(y); /* 1 / (1 + |z|) */
    return rest * rest;
}

F(sparse_plus) {
    const vf half = REAL(0.5) * (vclamp(z, -1, 1) + 1);
    return vselect(z >= 1, z, half * half);
}
DERIVATIVE(sparse_plus, y) { return vmin(vset(1), vsqrt(y)); }

F(sparse_sigmoid) { return REAL(0.5) * (vclamp(z, -1, 1) + 1); }
DERIVATIVE(sparse_sigmoid, y) { return REAL(0.5) * inside(y, 0, 1); }

/* u = (|z| + √(z² + b)) / 2 for z ≥ 0; else b / 4u, as the product of both is b / 4 */
F(squareplus) {
    const vf t = vabs(z), near = vmin(vset(ONE_MORE_END), t), root = vmax(vsqrt(near * near + p[0]), t);
    const vf u = REAL(0.5) * t + REAL(0.5) * root;
    return vselect(z < 0, REAL(0.25) * p[0] / u, u);
}
/* y / √(z² + b), where √(z² + b) = y + b / 4y */
DERIVATIVE(squareplus, y) { return 1 / (1 + REAL(0.25) * p[0] / (y * y)); }

F(tanh_shrink) {
    const vf w = z * z, inner = z * (w * POLYNOMIAL(w, SHRINK_POLY));
    return vselect(vabs(z) <= 1, inner, z - vtanh(z));
}
DERIVATIVE(tanh_shrink, z) {
    const vf t = vtanh(z);
    return t * t;
}

/* p[2] is 0: z − 0 is z, but 0 where that is a denormal */
F(threshold) { return vselect(z <= p[0], p[1], z - p[2]); }
DERIVATIVE(threshold, z) { return vselect(z <= p[0], (vf){0}, vset(1)); }

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

#endif
