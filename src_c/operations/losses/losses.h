/* losses.h: losses and their gradients over the rows of a batch. What the functions of losses look like
 * is said in forms.h. */
#ifndef NNCORE_LOSSES_H
#define NNCORE_LOSSES_H

#include "operations/losses/batches.h"
#include "operations/losses/classes.h"
#include "operations/losses/rows.h"

/* From a form to what goes over the rows. */
#define OF_TERM(name, target) sum_terms(a, name##_term, 1)
#define OF_SUM(name, target) sum_terms(a, name##_term, 0)
#define OF_ROW(name, target) sum_rows(a, name##_row, SPARSE_##target)
#define OF_CROSSENTROPY(name, target) softmax_crossentropy(a, SPARSE_##target == SPARSE_LABELS)
#define OF_SOFTMAX(name, target) sum_softmax(a, name##_class, SPARSE_##target == SPARSE_LABELS)
#define OF_NORMALIZED(name, target) sum_normalized(a, name##_class, SPARSE_##target == SPARSE_LABELS)
#define OF_BATCH(name, target) name##_batch(a)
#define LOSS(name, form, target, parameters) \
    static double loss_##name(const nn_loss *a) { return OF_##form(name, target); }
#include "kernels.def"

/* What the operations loss and metric share. Chunks of NN_CHUNK_ROWS samples are summed, each to a place of its own,
 * so that a sum has the same bits for any team. */
typedef struct rowwise {
    nn_rowwise kernel;
    nn_operand P, T, weight, columns, divisor, dP, prob;
    nn_index rows, n, targets, weights, sum;
    int labels, total;
    double scale; /* of the gradient */
    const double *parameters;
} rowwise;

/* What a sum over the batch is divided by, in gradients. */
INLINE double divisor_of(const rowwise *w, const nn_run *run) {
    const real *divisor = at(run, w->divisor, 0);
    return divisor ? (double)*divisor : w->total ? 1 : (double)(run->samples * w->rows);
}

/* The loss of a batch of which `sum` is a part, times its samples. */
INLINE double accumulated(const rowwise *w, const nn_run *run, double sum) {
    if (!w->total && !at(run, w->divisor, 0)) return sum / (double)w->rows;
    const double divisor = divisor_of(w, run);
    return divisor == 0 ? 0 : sum * ((double)run->samples / divisor);
}

INLINE const void *target_at(const rowwise *w, const nn_run *run, nn_index row) {
    const nn_index i = row * w->targets;
    return w->labels ? (const char *)nn_at(run, w->T) + i * (nn_index)sizeof(int32_t) : at(run, w->T, i);
}

INLINE nn_loss samples_of(const rowwise *w, const nn_run *run, nn_index first, nn_index count, double factor) {
    const nn_index row = first * w->rows, i = row * w->n;
    const double divisor = divisor_of(w, run);
    return (nn_loss){
        .rows = count * w->rows, .n = w->n, .p = at(run, w->P, i), .target = target_at(w, run, row),
        .columns = at(run, w->columns, 0), .scale = divisor == 0 ? 0 : factor * w->scale / divisor,
        .parameters = w->parameters, .grad = at(run, w->dP, i), .prob = at(run, w->prob, i),
    };
}

INLINE void sum_chunks(const rowwise *w, nn_run *run, nn_index first, nn_index count) {
    const real *weight = at(run, w->weight, 0);
    for (nn_index end = first + count; first < end; first += NN_CHUNK_ROWS) {
        const nn_index samples = end - first < NN_CHUNK_ROWS ? end - first : NN_CHUNK_ROWS;
        double sum = 0;
        if (!weight || w->rows == 1 || w->weights > 1) {
            nn_loss a = samples_of(w, run, first, samples, 1);
            if (weight) *(w->weights == w->rows ? &a.weight : &a.each) = weight + first * w->weights;
            sum = accumulated(w, run, w->kernel(&a));
        } else /* one weight for all rows of a sample */
            for (nn_index i = first; i < first + samples; i++) {
                const nn_loss a = samples_of(w, run, i, 1, (double)weight[i]);
                sum += accumulated(w, run, (double)weight[i] * w->kernel(&a));
            }
        *nn_partial(run, w->sum, first / NN_CHUNK_ROWS) = sum;
    }
}

SPAN(loss) {
    const rowwise w = {.kernel = run->table->loss[op->function], .P = op->P, .T = op->T, .weight = op->weight,
                       .columns = op->columns, .divisor = op->divisor, .dP = op->dP, .prob = op->prob,
                       .rows = op->rows, .n = op->n, .targets = op->targets, .weights = op->weights, .sum = op->sum,
                       .labels = op->labels != 0, .total = op->total != 0, .scale = op->scale,
                       .parameters = op->parameters};
    sum_chunks(&w, run, first, count);
}

SPAN(batch_loss) {
    const rowwise w = {.P = op->P, .T = op->T, .dP = op->dP, .n = op->n, .labels = op->labels != 0, .rows = op->rows,
                       .targets = op->targets, .parameters = op->parameters};
    const nn_index elements = run->samples * op->rows * op->n;
    double counted[2] = {1, 1};
    nn_loss a = samples_of(&w, run, 0, run->samples, 1);
    a.scale = op->scale;
    if (op->joined)
        a.rows = 1, a.n = elements;
    else
        a.counted = counted, a.weight = at(run, op->weight, 0);
    const double sum = run->table->loss[op->function](&a);
    const double divisor = op->total ? 1 : counted[op->weighted != 0], share = divisor == 0 ? 0 : 1 / divisor;
    real *grad = a.counted ? a.grad : NULL;
    for (nn_index i = 0; grad && i < elements; i++) grad[i] *= (real)share;
    for (nn_index chunk = 0; chunk * NN_CHUNK_ROWS < run->samples; chunk++)
        *nn_partial(run, op->sum, chunk) = chunk ? 0 : sum * share * (double)run->samples;
}

SPAN(weight_sum) {
    const real *weight = at(run, op->weight, 0);
    const int32_t *label = nn_at(run, op->label);
    const nn_index each = op->weights > op->rows ? op->weights / op->rows : 1; /* of a row */
    double sum = 0;
    for (nn_index i = 0; i < run->samples * op->rows; i++) {
        if (label && label[i] == op->ignored) continue;
        double mine = 0;
        for (nn_index k = 0; weight && k < each; k++)
            mine += (double)weight[op->weights == 1 ? i / op->rows : i * each + k];
        sum += weight ? mine / (double)each : 1;
    }
    *(real *)at(run, op->Y, 0) = (real)sum;
}

SPAN(accumulate) {
    const real *v = at(run, op->V, 0), *weight = at(run, op->weight, 0);
    for (nn_index end = first + count; first < end; first += NN_CHUNK_ROWS) {
        double sum = 0;
        for (nn_index i = first; i < end && i < first + NN_CHUNK_ROWS; i++)
            sum += weight ? (double)weight[i] * (double)v[i] : (double)v[i];
        *nn_partial(run, op->sum, first / NN_CHUNK_ROWS) = sum;
    }
}

#endif
