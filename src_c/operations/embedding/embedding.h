/* embedding.h: rows of a table by number, and the gradient of a table of which a step reads few rows.
 *
 * A row of the gradient is a sum over the places where its number stands, in the order of these, whoever adds them up.
 */
#ifndef NNCORE_EMBEDDING_H
#define NNCORE_EMBEDDING_H

#include "operations/elementwise/elementwise.h"
#include "operations/span.h"

INLINE const int32_t *integers_at(const nn_run *run, nn_operand where) { return nn_at(run, where); }

SPAN(lookup) {
    const nn_index n = op->n;
    const int32_t *x = integers_at(run, op->X);
    const real *w = at(run, op->W, 0);
    real *y = at(run, op->Y, 0);
    const nn_index size = n * (nn_index)sizeof(real), end = first + count;
    for (nn_index i = first; i < end; i++) {
        if (i + ROWS_AHEAD < end) fetch_row(w + x[i + ROWS_AHEAD] * n, size);
        memcpy(y + i * n, w + x[i] * n, (size_t)size);
    }
}

enum { DIGIT = 256 };

/* places of 0 … n − 1 in the order of the digit at `shift`, equal ones as they come in `from` (NULL: 0, 1, …) */
static void sort_by_digit(nn_index n, const int32_t *x, int shift, const int32_t *from, int32_t *to) {
    nn_index next[DIGIT + 1] = {0};
    for (nn_index i = 0; i < n; i++) next[(x[i] >> shift & (DIGIT - 1)) + 1]++;
    for (int d = 0; d < DIGIT; d++) next[d + 1] += next[d];
    for (nn_index i = 0; i < n; i++) {
        const int32_t place = from ? from[i] : (int32_t)i;
        to[next[x[place] >> shift & (DIGIT - 1)]++] = place;
    }
}

SPAN(sort_ids) {
    const nn_index n = op->rows * run->samples;
    const int32_t *x = integers_at(run, op->X), *from = NULL;
    int32_t *places = nn_at(run, op->places), *room = nn_at(run, op->room);
    int32_t *starts = nn_at(run, op->starts), *ids = nn_at(run, op->ids), found = 0;
    int digits = 1;
    while (digits < 4 && (op->limit - 1) >> 8 * digits) digits++;
    for (int d = 0; d < digits; d++) { /* the last one to `places` */
        int32_t *to = (digits - d) % 2 ? places : room;
        sort_by_digit(n, x, 8 * d, from, to);
        from = to;
    }
    for (nn_index i = 0; i < n; i++)
        if (i == 0 || x[places[i]] != ids[found - 1]) starts[found] = (int32_t)i, ids[found++] = x[places[i]];
    *(int32_t *)nn_at(run, op->count) = found;
}

SPAN(lookup_backward) {
    const nn_index n = op->n, places = op->rows * run->samples;
    const int32_t *x = integers_at(run, op->X);
    const real *dy = at(run, op->dY, first);
    real *dw = at(run, op->dW, first);
    for (nn_index r = 0; r < op->limit; r++) memset(dw + r * n, 0, (size_t)count * sizeof(real));
    for (nn_index i = 0; i < places; i++) add_elements(count, dw + x[i] * n, dy + i * n, dw + x[i] * n);
    for (nn_index i = 0; i < places; i++)
        if (any_nonfinite(1, count, dw + x[i] * n, 0)) nn_set_flag(&run->nonfinite);
}

SPAN(lookup_backward_rows) {
    const nn_index n = op->n, places = op->rows * run->samples;
    const nn_index found = *integers_at(run, op->count), end = first + count < found ? first + count : found;
    const int32_t *place = integers_at(run, op->places), *starts = integers_at(run, op->starts);
    const real *dy = at(run, op->dY, 0);
    for (nn_index r = first; r < end; r++) {
        real *dw = at(run, op->dW, r * n);
        const nn_index last = r + 1 < found ? starts[r + 1] : places;
        memset(dw, 0, (size_t)n * sizeof(real));
        for (nn_index i = starts[r]; i < last; i++) add_elements(n, dw, dy + place[i] * n, dw);
        if (any_nonfinite(1, n, dw, 0)) nn_set_flag(&run->nonfinite);
    }
}

SPAN(update_rows) {
    const nn_index n = op->n, found = *integers_at(run, op->count);
    const nn_index rows = first + count < found ? count : found - first;
    nn_rule rule = nn_rule_now(run, op->optimizer);
    void *state[NN_STATES];
    rule.learning_rate *= op->rate;
    rule.weight_decay *= op->decay;
    for (int k = 0; k < NN_STATES; k++)
        state[k] = nn_at(run, (nn_operand){op->state.buffer + k, op->state.offset});
    if (rows > 0)
        run->table->update[op->function](rows, integers_at(run, op->ids) + first, n, at(run, op->W, 0),
                                         at(run, op->dW, first * n), state, &rule,
                                         run->optimizers[op->optimizer].numbers);
}

#endif
