/* vecmath.h: elementary functions of vectors, branch-free, for float and double.
 *
 * Each function reduces its argument exactly or nearly so, evaluates a polynomial, and puts the result
 * together; special values come out of the arithmetic or of one select at the end. Signed zeros, infinities and
 * nans are right; denormals are 0, as everywhere (float_mode.h). Nothing relies on fused multiply-add, so the bounds
 * hold in portable code too: 2 ULP (erf 4); tests/operations/test_kernels_vecmath.py measures them.
 *
 * The polynomials are minimax fits (Remez exchange in 45-digit arithmetic, error weighted to be relative to
 * the function's value); above each stands its interval and the largest relative error of the exact fit.
 *
 * References: J.-M. Muller, Elementary Functions (3rd ed.), ch. 11 (reduction, reconstruction);
 * M. Shepherd, J. Laframboise, Math. Comp. 36 (1981) 249 (the variable in which erfcx is a short polynomial).
 */
#ifndef NNCORE_VECMATH_H
#define NNCORE_VECMATH_H

#include "vectors/lanes.h"

#define REAL(x) ((real)(x))
#define LOG2_E REAL(1.4426950408889634)
#define SQRT_HALF REAL(0.70710678118654752)

#if NN_REAL_BITS == 32

enum { MANTISSA_BITS = 23, EXPONENT_BIAS = 127, LOW_HALF_BITS = 12 };
#define MIN_NORMAL 0x1p-126f
#define REAL_MAX 0x1.fffffep127f
#define EXP_MIN REAL(-104)     /* exp is 0 below */
#define EXP_MAX REAL(89)       /* and inf above */
#define EXPM1_MIN REAL(-18)    /* expm1 is −1 below */
#define ERF_MAX REAL(5)        /* erf is 1 above */
#define LN2_HIGH REAL(0x1.62e4p-1) /* × any exponent is exact */
#define LN2_LOW REAL(1.428606820309417232e-6)

/* (eˣ − 1 − x) / x² on |x| ≤ ln2/2: 1.4e-8 of expm1 */
static const real EXP_POLY[] = {0.5000000062, 0.1666654279, 0.04166628138, 0.008366610592, 0.001394649842};

/* (2 atanh(s) − 2 s) / s³ in s² on |s| ≤ 0.1716: 8.2e-10 of the term it makes */
static const real LOG_POLY[] = {0.6666677672, 0.3997749559, 0.298730732};

/* (tanh(x) / x − 1) / x² in x² on |x| ≤ 0.35: 5e-9 of tanh */
static const real TANH_POLY[] = {-0.3333266205, 0.1329978868, -0.04914592229};

/* erf(x) / x − 1 in x² on |x| ≤ 1/2: 1.4e-9 of erf */
static const real ERF_POLY[] = {0.1283791656, -0.3761260857, 0.1128282281, -0.02675718426, 0.004717990066};

/* (x + k) eˣ² erfc(x) in (x − k) / (x + k), k = ERFCX_NODE, on 0 ≤ x ≤ 10.2: 2.2e-9 */
#define ERFCX_NODE REAL(3)
static const real ERFCX_POLY[] = {1.074006908, -0.8833944864, 0.5902282985, -0.3104660085, 0.1195290684,
                                  -0.02683982644, -0.001226430794, 0.003080328094, -0.0004831768233, -0.0003253333541};

/* (sin(r) / r − 1) / r² in r² on |r| ≤ π/4: 1.2e-8 of sin; (cos(r) − 1 + r²/2) / r⁴: 1.1e-9 of cos */
static const real SIN_POLY[] = {-0.166666646623, 0.00833274827063, -0.000195878908804};
static const real COS_POLY[] = {0.0416666646595, -0.00138883030359, 2.45479420851e-5};
#define PERIODS REAL(0x1p12) /* even, and its square is beyond where all numbers are even */

#else

enum { MANTISSA_BITS = 52, EXPONENT_BIAS = 1023, LOW_HALF_BITS = 27 };
#define MIN_NORMAL 0x1p-1022
#define REAL_MAX 0x1.fffffffffffffp1023
#define EXP_MIN REAL(-746)
#define EXP_MAX REAL(710)
#define EXPM1_MIN REAL(-38)
#define ERF_MAX REAL(7)
#define LN2_HIGH REAL(0x1.62e42fefa3p-1)
#define LN2_LOW REAL(2.8235290563031577123e-13)

/* as above: 1.8e-17 */
static const real EXP_POLY[] = {0.500000000000000557, 0.166666666666666861, 0.0416666666665733239,
                                0.00833333333331454062, 0.00138888889324842015, 0.000198412699031609271,
                                2.48015043121995687e-5, 2.75572278226335663e-6, 2.76263821935876253e-7,
                                2.51145186392445042e-8};

/* 1.3e-18 */
static const real LOG_POLY[] = {0.66666666666667349, 0.399999999994110924, 0.285714287432626886, 0.222221984759852112,
                                0.181835697398535221, 0.153139032456418316, 0.147975077190575443};

/* 1.2e-18 */
static const real TANH_POLY[] = {-0.333333333333325314, 0.133333333331187343, -0.0539682537726450364,
                                 0.0218694799154608302, -0.00886302500659708304, 0.00358912048715790566,
                                 -0.0014306998193876443, 0.000474643652977722292};

/* 4e-18 */
static const real ERF_POLY[] = {0.128379167095512569, -0.376126389031834671, 0.112837916709248128,
                                -0.0268661706327157844, 0.00522397737032625745, -0.000854829752438717601,
                                0.000120533243133606025, -1.48455837333993789e-5, 1.472321532028784e-6};

/* on 0 ≤ x ≤ 27.4: 7e-18 */
#define ERFCX_NODE REAL(3.5)
static const real ERFCX_POLY[] = {
    1.08705558926226008, -0.93779972456711191, 0.694113646634645231, -0.435256026716899427, 0.225738621647368355,
    -0.0923187066381803383, 0.0265186198825411555, -0.00317705034664628399, -0.00130535470116756014,
    0.00071453171383429456, -4.20621063013571283e-5, -7.47772046629711729e-5, 1.86469640768368236e-5,
    7.24442916910341489e-6, -3.39147796642440621e-6, -7.96688831103592407e-7, 5.49719854954625376e-7,
    1.16222623301455748e-7, -8.28499784966932319e-8, -2.16111061770525467e-8, 8.81277824107125604e-9,
    3.19592249853853587e-9};

/* 1.3e-17, 6.9e-19 */
static const real SIN_POLY[] = {-0.166666666666666646, 0.00833333333333094849, -0.000198412698367585743,
                                2.75573161025524401e-6, -2.50511318450036244e-8, 1.59181292948666087e-10};
static const real COS_POLY[] = {0.0416666666666666654, -0.00138888888888873972, 2.48015872987656879e-5,
                                -2.75573172717297929e-7, 2.08761462684031979e-9, -1.1382632425521718e-11};
#define PERIODS REAL(0x1p27)

#endif

/* Added and subtracted again, it rounds to an integer, which stands in the low bits of the sum. */
#define ROUNDER (REAL(1.5) * (real)((word)1 << MANTISSA_BITS))
#define SIGN_BIT ((integer)((word)1 << (NN_REAL_BITS - 1)))

#define NEGLIGIBLE (REAL(0.25) / (real)((word)1 << MANTISSA_BITS)) /* f(x) rounds to x below */

INLINE vf vabs(vf x) { return (vf)((vi)x & ~SIGN_BIT); }
INLINE vf vitself(vf x) { return x - x * x; } /* x where it is negligible: arithmetic, which takes a denormal as 0 */
INLINE vf vcopysign(vf magnitude, vf sign) { return (vf)((vi)magnitude | ((vi)sign & SIGN_BIT)); } /* magnitude ≥ 0 */

INLINE vf horner(vf x, const real *c, int terms) {
    vf p = vset(c[terms - 1]);
#pragma GCC unroll 32
    for (int i = terms - 2; i >= 0; i--) p = p * x + c[i];
    return p;
}
#define POLYNOMIAL(x, c) horner(x, c, sizeof c / sizeof *c)

/* 2ⁿ⁺ᵏ for integral n, given n + ROUNDER, where the power is a normal number */
INLINE vf power_of_two(vf rounded, integer k) {
    return (vf)(((vu)rounded << MANTISSA_BITS) + ((word)(EXPONENT_BIAS + k) << MANTISSA_BITS));
}

/* x 2ⁿ, rounded once */
INLINE vf vscale(vf x, vf n) {
#ifdef VSCALE
    return VSCALE(x, n);
#else
    const vf half = n * REAL(0.5) + ROUNDER; /* 2ⁿ may overflow, each half does not */
    return x * power_of_two(half, 0) * power_of_two((n - (half - ROUNDER)) + ROUNDER, 0);
#endif
}

/* Clamps x; nan stays. */
INLINE vf vclamp(vf x, real low, real high) { return vmax(vset(low), vmin(vset(high), x)); }

/* high − low = n ln2 + r with |r| ≤ ln2/2, eʳ = 1 + r + c; `rounded` is n + ROUNDER */
typedef struct exp_parts {
    vf rounded, n, r, c;
} exp_parts;

INLINE exp_parts exp_reduce(vf high, vf low) {
    const vf rounded = (high - low) * LOG2_E + ROUNDER, n = rounded - ROUNDER;
    const vf r = ((high - n * LN2_HIGH) - low) - n * LN2_LOW;
    return (exp_parts){rounded, n, r, r * r * POLYNOMIAL(r, EXP_POLY)};
}

/* exp(high − low) for EXP_MIN ≤ high ≤ EXP_MAX and a small correction low */
INLINE vf exp_of_difference(vf high, vf low) {
    const exp_parts e = exp_reduce(high, low);
    return vscale(1 + (e.r + e.c), e.n);
}

INLINE vf vexp(vf x) { return exp_of_difference(vclamp(x, EXP_MIN, EXP_MAX), (vf){0}); }

/* expm1(x) / 2 = s (1 + r + c) − ½ with s = 2ⁿ⁻¹, which does not overflow before expm1 does; x ≤ EXP_MAX */
INLINE vf half_expm1(vf x) {
    const exp_parts e = exp_reduce(vmax(vset(EXPM1_MIN), x), (vf){0});
    const vf s = power_of_two(e.rounded, -1);
    return (s * e.r + (s - REAL(0.5))) + s * e.c;
}

INLINE vf vexpm1(vf x) { return vselect(vabs(x) < NEGLIGIBLE, vitself(x), 2 * half_expm1(vmin(vset(EXP_MAX), x))); }

/* tanh|x| = h / (1 + h), h = expm1(2|x|) / 2 */
INLINE vf vtanh(vf x) {
    const vf t = vabs(x), w = t * t;
    const vf inner = t + t * (w * POLYNOMIAL(w, TANH_POLY));
    const vf h = half_expm1(vmin(vset(-EXPM1_MIN), 2 * t));
    return vcopysign(vselect(t < REAL(0.35), inner, h / (1 + h)), x);
}

/* For x < 0 it is e / (1 + e), e = e⁻ˡˣˡ, else 1 / (1 + e): m − m q with m = e or 1, q = e / (1 + e). */
INLINE vf vsigmoid(vf x) {
    const vf e = vexp(-vabs(x)), m = vselect(x < 0, e, vset(1));
    return m - m * (e / (1 + e));
}

/* x = m 2ᵉ with m in [√½, √2), for normal x > 0 */
INLINE vf log_split(vf x, vf *e) {
    const vu bias = (vu){0} + ((word)EXPONENT_BIAS << MANTISSA_BITS);
    const vu biased = (vu)x - (vu)vset(SQRT_HALF) + bias; /* its exponent field is e + bias */
    *e = (vf)((biased >> MANTISSA_BITS) + (vu)vset(ROUNDER - EXPONENT_BIAS)) - ROUNDER;
    return (vf)((vu)x - (biased & ~(((word)1 << MANTISSA_BITS) - 1)) + bias);
}

/* log((1 + f) 2ᵉ) = f − f²/2 + s (f²/2 + s² P(s²)) + e ln2, s = f / (2 + f) */
INLINE vf log_join(vf f, vf e) {
    const vf s = f / (2 + f), w = s * s, h = REAL(0.5) * f * f;
    return e * LN2_HIGH + (f - (h - (s * (h + w * POLYNOMIAL(w, LOG_POLY)) + e * LN2_LOW)));
}

/* y, but −inf where x is 0, nan where it is negative, and x where it is inf or nan */
INLINE vf log_special(vf x, vf y) {
    const vi regular = (x > 0) & (x < REAL(INFINITY));
    const vf low = vselect(x == 0, vset(-REAL(INFINITY)), vset(REAL(NAN)));
    return vselect(regular, y, vselect(x <= 0, low, x));
}

INLINE vf vlog(vf x) {
    vf e, m = log_split(x, &e);
    return log_special(x, log_join(m - 1, e));
}

/* log of the rounded sum u = 1 + x, and what the rounding lost */
INLINE vf vlog1p(vf x) {
    const vf u = 1 + x, d = u - 1, lost = (1 - (u - d)) + (x - d);
    vf e, m = log_split(u, &e);
    const vf y = log_special(u, log_join((m - 1) + lost / u * m, e));
    return vselect(vabs(x) < NEGLIGIBLE, vitself(x), y);
}

/* xʸ for x ≥ 0, to 1 + |y log x| roundings; 0⁰ is 1 */
INLINE vf vpower(vf x, vf y) {
    const vf zero = {0}, one = vset(1), least = vselect(y == 0, one, vselect(y > 0, zero, vset(REAL(INFINITY))));
    return vselect(x == 0, least, vexp(y * vlog(x)));
}

/* log1p(x) for 0 ≤ x ≤ 1 (nan stays): 1 + x is 1 + f with f = x, or from √2 on 2 (1 + f), f = (x − 1) / 2 */
INLINE vf vlog1p_unit(vf x) {
    const vi upper = x > 2 * SQRT_HALF - 1;
    return log_join(vselect(upper, REAL(0.5) * x - REAL(0.5), x), (vf)((vi)vset(1) & upper));
}

/* exp(−c x²), x ≥ 0: the square in two parts, the first exact. c is 1 or ½; c x² ≤ 800. */
INLINE vf gaussian(vf x, real c) {
    const vf head = (vf)((vi)x & -((integer)1 << LOW_HALF_BITS));
    const vf square = vmax(vset(EXP_MIN), -c * (head * head));
    return exp_of_difference(square, c * ((x - head) * (x + head)));
}

/* eˣ² erfc(x), x ≥ 0 */
INLINE vf erfcx(vf x) {
    const vf inverse = 1 / (x + ERFCX_NODE);
    return POLYNOMIAL((x - ERFCX_NODE) * inverse, ERFCX_POLY) * inverse;
}

INLINE vf verf(vf x) {
    const vf t = vmin(vset(ERF_MAX), vabs(x));
    const vf inner = x * (1 + POLYNOMIAL(x * x, ERF_POLY)); /* x times less than ½ could be flushed */
    const vf outer = vcopysign(1 - gaussian(t, 1) * erfcx(t), x);
    return vselect(t < REAL(0.5), inner, outer);
}

/* cos(π x), and sin(π x), by quadrants: x = q/2 + r/π with |r| ≤ π/4. All steps up to r are exact, for any x. */
INLINE vf vcospi_sinpi(vf x, vf *sine) {
    x = vselect(vabs(x) < PERIODS * PERIODS, x, 0 * x); /* even numbers; inf and nan become nan */
    x -= PERIODS * ((x * (1 / PERIODS) + ROUNDER) - ROUNDER);
    const vf rounded = 2 * x + ROUNDER, r = (x - REAL(0.5) * (rounded - ROUNDER)) * REAL(3.1415926535897932), w = r * r;
    const vf s = r + r * (w * POLYNOMIAL(w, SIN_POLY)), c = 1 - (REAL(0.5) * w - w * w * POLYNOMIAL(w, COS_POLY));
    const vi q = (vi)rounded, odd = -(q & 1);
    *sine = (vf)((vi)vselect(odd, c, s) ^ ((q & 2) << (NN_REAL_BITS - 2)));
    return (vf)((vi)vselect(odd, s, c) ^ (((q + 1) & 2) << (NN_REAL_BITS - 2)));
}

/* The normal distribution: density φ(z), and its tail Φ(−|z|) with a small relative error, |z| ≤ 40. */
INLINE vf normal_tail(vf z, vf *density) {
    const vf t = vabs(z), g = gaussian(t, REAL(0.5));
    *density = g * REAL(0.39894228040143268); /* 1/√2π */
    return REAL(0.5) * g * erfcx(t * SQRT_HALF);
}

/* y = f(x) over n reals */
#define FUNCTION(name)                                                                                             \
    static void function_##name(nn_index n, const void *x, void *y) {                                              \
        for (nn_index i = 0; i < n; i += LANES)                                                                    \
            store_some((real *)y + i, n - i, v##name(load_some((const real *)x + i, n - i)));                      \
    }
#include "kernels.def"

#endif
