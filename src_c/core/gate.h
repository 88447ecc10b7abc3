/* gate.h: many readers or one writer of a model's state, whatever threads they are.
 *
 * A training step writes parameters in its update section alone, so that is all that it keeps readers out of: they see
 * the state between two steps and wait for no more than an update. The writer announces itself first, which stops new
 * readers, then waits for those that are in; if that takes long it steps back, and they go first.
 * Nothing here blocks: who cannot enter is told so. A thread that reads already may write: it says so by `own`.
 */
#ifndef NNCORE_GATE_H
#define NNCORE_GATE_H

#include <stdatomic.h>

#include "core/team.h"

typedef struct nn_gate {
    _Alignas(64) atomic_int readers;
    atomic_int writer; /* 1: one is in, or waits for the readers to leave */
} nn_gate;

/* Begin to read; 0: there is a writer. */
static inline int nn_gate_read(nn_gate *gate) {
    atomic_fetch_add(&gate->readers, 1);
    if (!atomic_load(&gate->writer)) return 1;
    atomic_fetch_sub(&gate->readers, 1);
    return 0;
}

/* Begin to read, in the middle of another read: a writer that waits for that one would be waited for in vain. */
static inline void nn_gate_read_again(nn_gate *gate) { atomic_fetch_add(&gate->readers, 1); }

/* Begin to read within `seconds`; 0: there was a writer all the time. */
static inline int nn_gate_await(nn_gate *gate, double seconds) {
    const double until = nn_seconds() + seconds;
    for (int looks = 0; !nn_gate_read(gate);) {
        if (nn_seconds() > until) return 0;
        nn_pause(&looks);
    }
    return 1;
}

static inline void nn_gate_end_read(nn_gate *gate) { atomic_fetch_sub(&gate->readers, 1); }

/* Begin to write within `seconds`; 0: others did not leave. `own`: reads that the caller is in the middle of. */
static inline int nn_gate_write(nn_gate *gate, int own, double seconds) {
    int looks = 0, nobody = 0;
    double until = 0;
    while (!atomic_compare_exchange_weak(&gate->writer, &nobody, 1)) {
        nobody = 0;
        until = until ? until : nn_seconds() + seconds;
        if (nn_seconds() > until) return 0;
        nn_pause(&looks);
    }
    while (atomic_load(&gate->readers) > own) {
        until = until ? until : nn_seconds() + seconds;
        if (nn_seconds() > until) {
            atomic_store(&gate->writer, 0);
            return 0;
        }
        nn_pause(&looks);
    }
    return 1;
}

static inline void nn_gate_end_write(nn_gate *gate) { atomic_store(&gate->writer, 0); }

/* In a child of fork, which has but one thread: only its own reads go on. */
static inline void nn_gate_reset(nn_gate *gate, int own) {
    atomic_store(&gate->readers, own);
    atomic_store(&gate->writer, 0);
}

#endif
