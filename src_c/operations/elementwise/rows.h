/* rows.h: the ROWWISE activations of kernels.def: rows of m numbers from rows of n, and dz from what is saved and dy.
 *
 * A row's order of addition is given by n alone. Every load of a vector precedes its store, hence the aliasing that
 * contract.h allows.
 *
 * References: Martins and Astudillo 2016 (sparsemax); Michelot 1986 (the projection); Dauphin et al. 2017 (glu).
 */
#ifndef NNCORE_ROWS_H
#define NNCORE_ROWS_H

#include "vectors/lanes.h"
#include "vectors/vecmath.h"

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

/* In every lane the largest of a row; nan may be passed over */
INLINE vf row_max(nn_index n, const real *z) {
    vf top = vset(-REAL(INFINITY));
    for (nn_index j = 0; j < n; j += LANES) top = vmax(top, load_logits(z + j, n - j));
    return across_max(top);
}

/* A row of any length, eᶻ⁻ᵐ kept in y between the passes */
INLINE void softmax_row(nn_index n, const real *z, real *y) {
    const vf top = row_max(n, z);
    vf sum = {0};
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

/* y = (z − m) − log Σ eᶻ⁻ᵐ with m = max z; order: n */
static void log_softmax(nn_index rows, nn_index n, const void *z_, void *y_) {
    const real *z = z_;
    real *y = y_;
    if (n <= LANES) {
        const nn_index group = group_of(n), step = group == n ? LANES : n, total = rows * n;
        for (nn_index i = 0; i < total; i += step) {
            const nn_index left = group == n ? total - i : n;
            const vf v = load_logits(z + i, left), away = v - group_max(v, group);
            store_some(y + i, left, away - vlog(group_sum(vexp(away), group)));
        }
        return;
    }
    for (; rows > 0; rows--, z += n, y += n) {
        const vf top = row_max(n, z);
        vf sum = {0};
        for (nn_index j = 0; j < n; j += LANES) sum += vexp(load_logits(z + j, n - j) - top);
        const vf log_sum = vlog(across_sum(sum));
        for (nn_index j = 0; j < n; j += LANES) store_some(y + j, n - j, (load_some(z + j, n - j) - top) - log_sum);
    }
}

/* dz = dy − eʸ Σ dy; order: n */
static void log_softmax_backward(nn_index rows, nn_index n, const void *y_, const void *dy_, void *dz_) {
    const real *y = y_, *dy = dy_;
    real *dz = dz_;
    for (; rows > 0; rows--, y += n, dy += n, dz += n) {
        vf sum = {0};
        for (nn_index j = 0; j < n; j += LANES) sum += load_some(dy + j, n - j);
        sum = across_sum(sum);
        for (nn_index j = 0; j < n; j += LANES)
            store_some(dz + j, n - j, load_some(dy + j, n - j) - vexp(load_some(y + j, n - j)) * sum);
    }
}

/* y = max(z − τ, 0), τ such that Σ y = 1: from those within 1 of the largest, z ≤ τ is left out until nothing
 * changes (Michelot 1986), with v = z − max z in place of z. `!(v ≤ τ)`: nan makes the row nan. order: n */
static void sparsemax(nn_index rows, nn_index n, const void *z_, void *y_) {
    const real *z = z_;
    real *y = y_;
    for (; rows > 0; rows--, z += n, y += n) {
        const vf top = row_max(n, z);
        vf tau = vset(-1);
        for (real before = REAL(INFINITY), count;; before = count) {
            vf sum = {0}, counts = {0};
            for (nn_index j = 0; j < n; j += LANES) {
                const vf v = load_logits(z + j, n - j) - top;
                const vi taken = ~(v <= tau);
                sum += (vf)((vi)v & taken);
                counts += (vf)((vi)vset(1) & taken);
            }
            count = across_sum(counts)[0];
            if (!(count < before)) break;
            tau = (across_sum(sum) - 1) / count;
        }
        for (nn_index j = 0; j < n; j += LANES)
            store_some(y + j, n - j, vmax((vf){0}, (load_some(z + j, n - j) - top) - tau));
    }
}

/* Where y > 0 dz = dy − their mean of dy; else 0. order: n */
static void sparsemax_backward(nn_index rows, nn_index n, const void *y_, const void *dy_, void *dz_) {
    const real *y = y_, *dy = dy_;
    real *dz = dz_;
    for (; rows > 0; rows--, y += n, dy += n, dz += n) {
        vf sum = {0}, counts = {0};
        for (nn_index j = 0; j < n; j += LANES) {
            const vi taken = ~(load_some(y + j, n - j) <= 0);
            sum += (vf)((vi)load_some(dy + j, n - j) & taken);
            counts += (vf)((vi)vset(1) & taken);
        }
        const vf mean = across_sum(sum) / across_sum(counts);
        for (nn_index j = 0; j < n; j += LANES) {
            const vi taken = ~(load_some(y + j, n - j) <= 0);
            store_some(dz + j, n - j, (vf)((vi)(load_some(dy + j, n - j) - mean) & taken));
        }
    }
}

/* y = a ⊙ σ(b), of rows z = (a, b) */
static void glu(nn_index rows, nn_index n, const void *z_, void *y_) {
    const nn_index m = n / 2;
    const real *z = z_;
    real *y = y_;
    for (; rows > 0; rows--, z += n, y += m)
        for (nn_index j = 0; j < m; j += LANES)
            store_some(y + j, m - j, load_some(z + j, m - j) * vsigmoid(load_some(z + m + j, m - j)));
}

/* da = dy ⊙ σ(b), db = dy ⊙ a ⊙ σ(b) (1 − σ(b)) */
static void glu_backward(nn_index rows, nn_index n, const void *z_, const void *dy_, void *dz_) {
    const nn_index m = n / 2;
    const real *z = z_, *dy = dy_;
    real *dz = dz_;
    for (; rows > 0; rows--, z += n, dy += m, dz += n)
        for (nn_index j = 0; j < m; j += LANES) {
            const vf a = load_some(z + j, m - j), s = vsigmoid(load_some(z + m + j, m - j));
            const vf da = load_some(dy + j, m - j) * s;
            store_some(dz + j, m - j, da);
            store_some(dz + m + j, m - j, da * a * (1 - s));
        }
}

/* order: n, in float64 */
static void ascending(nn_index rows, nn_index n, const void *z_, void *y_) {
    const real *z = z_;
    real *y = y_;
    for (; n && rows > 0; rows--, z += n, y += n) {
        const vf first = load_some(z, 1);
        double sum = (double)vselect(vabs(first) < NEGLIGIBLE, vitself(first), first)[0];
        for (nn_index j = 0; j < n; j += LANES) {
            const nn_index left = n - j < LANES ? n - j : LANES;
            const vf v = load_some(z + j, left);
            real step[LANES];
            vstore(step, vmax((vf){0}, v) + vlog1p_unit(vexp(-vabs(v))));
            for (nn_index k = 0; k < left; k++) {
                if (j + k) sum += (double)step[k];
                y[j + k] = (real)sum;
            }
        }
    }
}

/* dz_j = σ(z_j) Σ dy_k, k ≥ j; of the first without σ */
static void ascending_backward(nn_index rows, nn_index n, const void *z_, const void *dy_, void *dz_) {
    const real *z = z_, *dy = dy_;
    real *dz = dz_;
    for (; rows > 0; rows--, z += n, dy += n, dz += n) {
        double sum = 0;
        for (nn_index end = n; end > 0;) {
            const nn_index j = end > LANES ? end - LANES : 0, left = end - j;
            real slope[LANES], later[LANES];
            vstore(slope, vsigmoid(load_some(z + j, left)));
            vstore(later, load_some(dy + j, left));
            for (nn_index k = left - 1; k >= 0; k--) {
                sum += (double)later[k];
                later[k] = (real)sum * (j + k ? slope[k] : 1);
            }
            store_some(dz + j, left, vload(later));
            end = j;
        }
    }
}

SPAN(rowwise) {
    run->table->rowwise[op->function](count, op->n, at(run, op->Z, first * op->n), at(run, op->Y, first * op->m));
}
SPAN(rowwise_backward) {
    const nn_index saved = first * (op->saved_z ? op->n : op->m);
    run->table->rowwise_backward[op->function](count, op->n, at(run, op->saved, saved), at(run, op->dY, first * op->m),
                                               at(run, op->dZ, first * op->n));
}

#endif
