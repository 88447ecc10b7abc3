/* tallies.h: metrics that count, and sums of powers of columns; everything in float64, order: samples of the pass, so
 * that a sum has the same bits however the pass is cut into batches. */
#ifndef NNCORE_TALLIES_H
#define NNCORE_TALLIES_H

#include "operations/metrics/metrics.h"

/* Ascending numbers; a place among many is first guessed, as if all but the ends were evenly apart. */
typedef struct ladder {
    const real *numbers;
    nn_index count;
    real first, scale;
} ladder;

INLINE ladder ladder_of(const nn_tally *a) {
    ladder l = {.numbers = a->numbers, .count = a->count};
    if (l.count > 8) {
        l.first = l.numbers[1];
        l.scale = (real)(l.count - 3) / (l.numbers[l.count - 2] - l.first);
    }
    return l;
}

/* How many of the numbers lie below x; nan: none. */
INLINE nn_index below(const ladder *l, real x) {
    const real *numbers = l->numbers;
    nn_index first = 0, count = l->count;
    if (count > 8 && numbers[0] < x) {
        const real place = (x - l->first) * l->scale;
        const nn_index guess = place > 0 ? place < (real)(count - 3) ? (nn_index)place + 1 : count - 2 : 1;
        for (nn_index k = guess; k < guess + 2; k++)
            if (numbers[k - 1] < x && !(k < count && numbers[k] < x)) return k;
    }
    while (count > 0) {
        const nn_index half = count / 2;
        const int more = numbers[first + half] < x;
        first = more ? first + half + 1 : first;
        count = more ? count - half - 1 : half;
    }
    return first;
}

INLINE double weight_at(const nn_tally *a, nn_index row, nn_index j) {
    return a->weight ? (double)((const real *)a->weight)[row * a->weights + (a->weights > 1 ? j : 0)] : 1;
}

INLINE int is_true(const nn_tally *a, nn_index row, nn_index j) {
    return a->labels ? ((const int32_t *)a->target)[row] == j : ((const real *)a->target)[row * a->m + j] != 0;
}

static void tally_thresholds(const nn_tally *a) {
    const nn_index n = a->n, chosen = (nn_index)a->parameters[0], top = (nn_index)a->parameters[1];
    const int by_output = a->parameters[2] != 0, weighs = a->parameters[3] != 0;
    const nn_index from = chosen < 0 ? 0 : chosen, to = chosen < 0 ? n : chosen + 1;
    const real *numbers = a->numbers;
    const ladder thresholds = ladder_of(a);
    nn_event *e = a->events;
    for (nn_index row = 0; row < a->rows; row++)
        for (nn_index j = from; j < to; j++, e++) {
            const real *p = (const real *)a->p + row * n;
            const nn_index bin = !top || among_largest(p, n, j, top, FIRST_OF_EQUALS) ? below(&thresholds, p[j]) : 0;
            const nn_index side = (by_output ? 2 * (j - from) : 0) + is_true(a, row, j);
            e->place = side * (a->count + 1) + bin;
            e->value = weight_at(a, row, j) * (weighs ? (double)numbers[a->count + j] : 1);
        }
}

static void tally_largest(const nn_tally *a) {
    const nn_index n = a->n;
    nn_event *e = a->events;
    for (nn_index row = 0; row < a->rows; row++) {
        const real *p = (const real *)a->p + row * n;
        real most = -(real)INFINITY;
        for (nn_index j = 0; j < n; j++) most = p[j] > most ? p[j] : most;
        for (nn_index j = 0; j < n; j++, e++) {
            const int positive = p[j] >= most && (p[j] > (real)1e-9 || p[j] < (real)-1e-9);
            e->place = 2 * (2 * j + is_true(a, row, j)) + positive;
            e->value = weight_at(a, row, j);
        }
    }
}

enum { BY_NUMBER, BY_PLACE, BY_THRESHOLD, FROM_THRESHOLD };

/* The class that a row of n elements says; −1: none of `classes`. */
INLINE nn_index said_class(const real *x, nn_index n, int by, nn_index classes, const real *threshold) {
    if (by == BY_PLACE) {
        const nn_index place = first_maximum(x, n);
        return place < n && place < classes ? place : -1;
    }
    if (by == BY_THRESHOLD) return x[0] > threshold[0];
    if (by == FROM_THRESHOLD) return x[0] >= threshold[0];
    return x[0] > -1 && x[0] < (real)classes ? (nn_index)x[0] : -1;
}

static void tally_confusion(const nn_tally *a) {
    const nn_index classes = (nn_index)a->parameters[0], ignored = (nn_index)a->parameters[3];
    const int true_by = (int)a->parameters[1], predicted_by = (int)a->parameters[2];
    for (nn_index row = 0; row < a->rows; row++) {
        const real *p = (const real *)a->p + row * a->n, *t = (const real *)a->target + row * a->m;
        const nn_index c = a->labels ? (nn_index)((const int32_t *)a->target)[row]
                                     : said_class(t, a->m, true_by, classes, a->numbers);
        const nn_index q = said_class(p, a->n, predicted_by, classes, a->numbers);
        const int counts = c >= 0 && c < classes && q >= 0 && c != ignored;
        a->events[row].place = counts ? c * classes + q : -1;
        a->events[row].value = weight_at(a, row, 0);
    }
}

static void tally_reliability(const nn_tally *a) {
    const nn_index n = a->n;
    const ladder bins = ladder_of(a);
    nn_event *e = a->events;
    for (nn_index row = 0; row < a->rows; row++, e += 3) {
        const real *p = (const real *)a->p + row * n;
        const nn_index best = n == 1 ? 0 : first_maximum(p, n);
        const double confidence = best < n ? (double)p[best] : (double)NAN, weight = weight_at(a, row, 0);
        const nn_index wanted = a->labels ? (nn_index)((const int32_t *)a->target)[row]
                                : n == 1  ? !is_true(a, row, 0)
                                          : first_maximum((const real *)a->target + row * a->m, a->m);
        const nn_index place = 3 * below(&bins, (real)confidence);
        e[0] = (nn_event){place, weight};
        e[1] = (nn_event){place + 1, weight * confidence};
        e[2] = (nn_event){place + 2, n == 1 && a->labels ? weight * (double)wanted : best == wanted ? weight : 0};
    }
}

SPAN(tally) {
    const nn_index row = first * op->rows;
    const real *weight = at(run, op->weight, first);
    nn_tally a = {
        .rows = count * op->rows, .n = op->n, .m = op->n, .p = at(run, op->P, row * op->n), .weight = weight,
        .target = op->labels ? (const char *)nn_at(run, op->T) + row * (nn_index)sizeof(int32_t)
                             : at(run, op->T, row * op->n),
        .labels = op->labels != 0, .weights = 1, .numbers = nn_at(run, op->numbers), .count = op->count,
        .parameters = op->parameters, .events = (nn_event *)nn_partial(run, op->sum, first),
    };
    if (!weight || op->rows == 1) {
        run->table->tally[op->function](&a);
        return;
    }
    for (nn_index i = 0; i < count; i++) { /* one weight for all rows of a sample */
        nn_tally b = a;
        b.rows = op->rows, b.p = at(run, op->P, (row + i * op->rows) * op->n), b.weight = NULL;
        b.target = op->labels ? (const char *)a.target + i * op->rows * (nn_index)sizeof(int32_t)
                              : at(run, op->T, (row + i * op->rows) * op->n);
        b.events = a.events + i * op->events;
        run->table->tally[op->function](&b);
        for (nn_index k = 0; k < op->events; k++) b.events[k].value *= (double)weight[i];
    }
}

enum { MOMENT_COLUMNS = 8 }; /* of which the sums are at hand while all rows go by */

typedef struct moment_columns { double of[NN_MOMENTS][MOMENT_COLUMNS]; } moment_columns;

INLINE void widened(const real *x, nn_index count, double *y) {
    for (nn_index j = 0; j < MOMENT_COLUMNS; j++) y[j] = j < count ? (double)x[j] : 0;
}

INLINE void add_powers(moment_columns *s, const double *t, const double *p, const double *w) {
    for (nn_index j = 0; j < MOMENT_COLUMNS; j++) {
        const double dt = t[j] - s->of[NN_FIRST_T][j], dp = p[j] - s->of[NN_FIRST_P][j], e = t[j] - p[j];
        s->of[NN_WEIGHTS][j] += w[j];
        s->of[NN_T][j] += w[j] * dt, s->of[NN_TT][j] += w[j] * dt * dt;
        s->of[NN_P][j] += w[j] * dp, s->of[NN_PP][j] += w[j] * dp * dp, s->of[NN_PT][j] += w[j] * dp * dt;
        s->of[NN_ERROR][j] += w[j] * e, s->of[NN_ERRORS][j] += w[j] * e * e;
    }
}

static void column_moments(nn_index rows, nn_index n, nn_index first, nn_index count, const void *p, const void *t,
                           const void *weight, nn_index weights, nn_index share, double *sums) {
    for (nn_index end = first + count; rows && first < end; first += MOMENT_COLUMNS) {
        const nn_index width = end - first < MOMENT_COLUMNS ? end - first : MOMENT_COLUMNS;
        const real *pr = (const real *)p + first, *tr = (const real *)t + first, *wr = weight;
        double tj[MOMENT_COLUMNS], pj[MOMENT_COLUMNS], wj[MOMENT_COLUMNS];
        moment_columns s = {{{0}}};
        for (nn_index k = 0; k < NN_MOMENTS; k++)
            for (nn_index j = 0; j < width; j++) s.of[k][j] = sums[k * n + first + j];
        if (s.of[NN_ROWS_SEEN][0] == 0) widened(tr, width, s.of[NN_FIRST_T]), widened(pr, width, s.of[NN_FIRST_P]);
        for (nn_index j = 0; j < MOMENT_COLUMNS; j++) wj[j] = 1;
        for (nn_index row = 0; row < rows; row++) {
            if (width == MOMENT_COLUMNS)
                widened(tr + row * n, MOMENT_COLUMNS, tj), widened(pr + row * n, MOMENT_COLUMNS, pj);
            else
                widened(tr + row * n, width, tj), widened(pr + row * n, width, pj);
            if (wr && weights > 1)
                widened(wr + row / share * weights + first, width, wj);
            else if (wr)
                for (nn_index j = 0; j < MOMENT_COLUMNS; j++) wj[j] = (double)wr[row / share];
            add_powers(&s, tj, pj, wj);
        }
        for (nn_index j = 0; j < width; j++) s.of[NN_ROWS_SEEN][j] += (double)rows;
        for (nn_index k = 0; k < NN_MOMENTS; k++)
            for (nn_index j = 0; j < width; j++) sums[k * n + first + j] = s.of[k][j];
    }
}

SPAN(moments) {
    const nn_index n = op->n;
    const double *before = run->sums + run->accumulators[op->sum].sum;
    double *now = nn_partial(run, op->sum, 0);
    for (nn_index k = 0; k < NN_MOMENTS; k++)
        for (nn_index j = first; j < first + count; j++) now[k * n + j] = before[k * n + j];
    column_moments(run->samples * op->rows, n, first, count, at(run, op->P, 0), at(run, op->T, 0),
                   at(run, op->weight, 0), 1, op->rows, now);
}

#endif
