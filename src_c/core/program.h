/* program.h: a compiled program and one run of it, as the engine and the operations see them.
 *
 * A program is a flat array of operations. It is immutable, and shared by all its runs; a run owns the
 * memory of one batch. Operands are (buffer, byte offset), so a program holds no address.
 */
#ifndef NNCORE_PROGRAM_H
#define NNCORE_PROGRAM_H

#include <stddef.h>
#include <string.h>

#include "core/ahead.h"
#include "core/contract.h"
#include "core/gate.h"
#include "core/team.h"

enum {
#define PATTERN(name) NN_PATTERN_##name,
#include "operations.def"
    NN_PATTERNS
};
enum {
#define FUSION(name) NN_FUSION_##name,
#include "operations.def"
    NN_FUSIONS
};
enum {
#define OPERATION(name, pattern, flops, fusion, fields) NN_OP_##name,
#include "operations.def"
    NN_OPERATIONS
};
enum {
#define BUFFER(name) NN_BUFFER_##name,
#include "kernels.def"
    NN_MOVING = 16,     /* operands of one loop that move */
    NN_BINDINGS = 256,  /* arrays of the caller's that a program reads or writes row by row */
    NN_RULES = 8,       /* optimizers that a program may have, of different parameters */
    NN_BUFFER_moving = NN_BUFFER_state + NN_RULES * NN_STATES, /* the first of these, as they are in the turn at hand */
    NN_BUFFER_binding = NN_BUFFER_moving + NN_MOVING, /* the first binding's rows of the batch, themselves or copied */
    NN_BUFFERS = NN_BUFFER_binding + NN_BINDINGS
};
enum {
#define SECTION(name) NN_SECTION_##name,
#include "operations.def"
    NN_SECTIONS
};

enum { NN_CHUNK_ROWS = 32 }; /* rows whose losses are summed before the sums are: part of the bits of a result */
enum { NN_SUM_ROWS = 64, NN_SUM_CHAINS = 4 }; /* likewise of sums of columns, see reduce.h */

typedef struct nn_operand {
    int64_t buffer, offset; /* bytes */
} nn_operand;

/* struct nn_op_<name>: the fields of each operation. */
#define READ(name) nn_operand name;
#define READ_OPTIONAL(name) nn_operand name;
#define WRITE(name) nn_operand name;
#define WRITE_OPTIONAL(name) nn_operand name;
#define CHANGE(name) nn_operand name;
#define CHANGE_OPTIONAL(name) nn_operand name;
#define INTEGER(name) int64_t name;
#define NUMBER(name) double name;
#define PARAMETERS(name) double name[NN_PARAMETERS];
#define OPERATION(name, pattern, flops, fusion, fields) typedef struct nn_op_##name { fields } nn_op_##name;
#include "operations.def"

/* One operation of a program, which Python writes (compiler/encoding.py). */
typedef struct nn_op {
    int64_t kind, pattern;     /* NN_OP_…, NN_PATTERN_… */
    int64_t barrier;           /* 1: the team meets before it */
    int64_t fixed, per_sample; /* its pattern counts fixed + per_sample × samples of the batch; CHUNKS: run.n_chunks */
    int64_t block;             /* of these in one span */
    int64_t cost;              /* FLOPs per sample, to decide on threads and looks at the clock */
    int64_t chain;             /* so many operations, from this one on, go through some samples at a time; 1: none */
    int64_t chain_step, chain_most; /* that many: a multiple of the first, at most the second */
    int64_t first_local, n_locals; /* of the run's nn_local those that are its operands */
    int64_t first_distant, n_distant; /* of the run's nn_distant those of the chain that it begins */
    union {
#define OPERATION(name, pattern, flops, fusion, fields) nn_op_##name name;
#include "operations.def"
    };
} nn_op;

/* An operand of a chain's operation, of a tensor that no operation outside of the chain touches: each thread has room
 * for the samples that it is at. */
typedef struct nn_local {
    int64_t operand;        /* where it stands, in bytes of nn_op */
    int64_t offset;         /* bytes into that room */
    int64_t bytes;          /* of a sample */
} nn_local;

/* What a chain's operations read or write of a tensor that is there for all samples. */
typedef struct nn_distant {
    nn_operand tensor;
    int64_t bytes;          /* of a sample */
} nn_distant;

/* What core/describe.c says of an operation; the last field has no name. */
typedef struct nn_field {
    const char *name, *role; /* "READ", …, "INTEGER", "NUMBER", "PARAMETERS" */
    size_t offset;           /* in nn_op */
} nn_field;
typedef struct nn_declaration {
    const char *name, *pattern, *fusion;
    int64_t flops;
    const nn_field *fields;
} nn_declaration;
nn_declaration nn_declared(int kind);
extern const char *const nn_section_names[];
extern const nn_field nn_op_head[];
extern const char *const nn_pattern_names[];

/* A part of a program: operations first … end − 1. */
typedef struct nn_section {
    int64_t kind;           /* NN_SECTION_… */
    int64_t first, end;
    int64_t turns, step;    /* LOOP: how many; 1: from 0 on, −1: from the last on */
    int64_t moving, n_moving; /* LOOP: its first nn_moving, and how many */
    int64_t each, steps;    /* UPDATE: of every so many steps; its first `each` operations are done in all of them */
} nn_section;

/* Where NN_BUFFER_moving + slot is in a turn of a loop: offset + turn × stride bytes into a buffer. */
typedef struct nn_moving {
    int64_t slot, buffer, offset, stride;
} nn_moving;

/* An array of the caller's with a row for each sample of a pass: an input, a target, sample weights, an output. */
typedef struct nn_binding {
    char *data;             /* NULL: absent, or the caller fills the batch itself */
    int64_t stride;         /* bytes between rows */
    int64_t type;           /* NN_SOURCE_… */
    nn_row row;             /* where its elements lie; n = 0: it is absent */
    int64_t low, high;      /* low < high: int32 in [low,high), such as labels; else reals */
    int64_t in_place;       /* 1: rows are read, or written, where they are */
    char *copy;             /* where gather puts a batch otherwise */
} nn_binding;

/* A run of parameters with the same settings; boundaries depend on the layout alone. */
typedef struct nn_chunk {
    int64_t offset, n;      /* elements */
    int64_t group;          /* whose norm clips it */
    double l1, l2, decay, rate; /* factors of weight decay (0: excluded) and of the learning rate */
    int64_t optimizer;      /* which of the run's updates it */
    int64_t parameter;      /* of several chunks that are one, where a rule looks at the whole of each */
    int64_t whole;          /* 1: an operation of its own updates its parameter */
    int64_t inputs, outputs, first; /* of weights that have packed copies: their shape, the first row here; else 0 */
    int64_t packed[2];      /* bytes into NN_BUFFER_packed of the copies for X W and dY Wᵀ; −1: none */
} nn_chunk;

/* A sum over a pass, of `width` numbers, which operations give in parts that are added in their order. A part is of
 * `rows` samples, or one chunk of parameters: the numbers themselves, or events, which count at places among them. */
typedef struct nn_accumulator {
    int64_t width;
    int64_t sum;            /* in run.sums: of its first number; its weight comes after the last */
    int64_t partial;        /* in run.partial: (parts, size), of this step */
    int64_t size;           /* doubles of a part */
    int64_t events;         /* of a part; 0: it is `width` numbers */
    int64_t rows;           /* samples of a part; 0: one part, which is the sum so far with the step's samples in it */
    int64_t by_chunks;      /* 1: parts are over nn_chunk */
    int64_t per_step;       /* 1: a value of the step, which counts for each of its samples */
    int64_t finite;         /* 1: a step for which it is not is not applied */
    nn_operand weight;      /* of the samples; none: 1 each */
} nn_accumulator;

/* A number that may change by step: of update t it is values[(t − scheduled_from) stride]; stride 0: a constant. */
typedef struct nn_scheduled {
    const double *values;
    int64_t stride;
} nn_scheduled;

/* The numbers of run.scheduled: those of each optimizer, then the program's own. */
enum { NN_LEARNING_RATE, NN_WEIGHT_DECAY, NN_RULE_SCHEDULED, NN_OWN_SCHEDULED = NN_RULES * NN_RULE_SCHEDULED };

/* What a run knows of an optimizer. */
typedef struct nn_optimizing {
    const void *numbers;    /* of its own: nn_sgd, … */
    double clip_value, clipnorm; /* +inf, 0: none */
} nn_optimizing;

/* What is _Atomic is what thread 0 changes between two stages, and a late member may read meanwhile (team.h), or what
 * several threads write; nn_put_… are stores that cost no more than others. */
typedef struct nn_run nn_run;
struct nn_run {
    const nn_table *table;
    const nn_op *ops;
    const nn_local *locals; /* of all operations */
    const nn_distant *distant; /* of all chains */
    nn_binding *bindings;
    int64_t n_bindings;
    const int64_t *order;   /* row numbers of the pass, or NULL: 0, 1, 2, … */
    _Atomic int64_t row, samples; /* where this batch begins in the pass, and its size */
    int64_t rows;           /* of the pass */
    int64_t threads;
    atomic_int undivided;   /* 1: one thread does each operation at one go */
    nn_tiles *tiles;        /* (operations, threads) */
    char *scratch;          /* threads × scratch_bytes: what kernels ask for, room for nn_local, an nn_ahead */
    int64_t scratch_bytes, local_from, ahead_from; /* of a thread's: all of it; where the last two begin */
    char *parts;            /* of forward products cut by blocks of K: the sums of all blocks but the first; */
    int64_t *parts_at;      /* each operation's begin at this byte, for several of a stage are at work together */
    uint64_t seed;
    int64_t *step;          /* training steps so far, over all fits: dropout's counter */
    const nn_chunk *chunks;
    int64_t n_chunks;
    const nn_scheduled *scheduled;
    int64_t scheduled_from, scheduled_to; /* the updates, counted from 0, for which their values are there */
    int64_t *updates;       /* that the optimizer has made, over all fits; and steps since then, of summed gradients */
    nn_optimizing optimizers[NN_RULES];
    const nn_accumulator *accumulators;
    int64_t n_accumulators;
    double *partial;        /* of this step */
    double *sums;           /* over the steps of the pass so far */
    int nonfinite;          /* this step met an inf or nan */
    _Atomic double look_at; /* of a long step: when thread 0 calls `look`, in seconds of nn_seconds; 0: never */
    void (*look)(nn_run *); /* may call the step off, and says when to look again */
    atomic_int called_off;  /* 1: the step is to be abandoned, so tiles that are left are taken but not computed */
    void *owner;            /* for `look` */
    nn_gate *gate;          /* before the parameters; NULL: nobody else uses them */
    _Atomic int64_t bad;    /* the first row of the pass that cannot be converted, see nn_note_bad; NN_NONE_BAD */
    _Atomic(char *) base[NN_BUFFERS]; /* the last, for not all bindings are there to be copied */
};

#define NN_NONE_BAD INT64_MAX
#define NN_BAD_PLACES (INT64_MAX / NN_BINDINGS)

static inline void nn_put_base(nn_run *run, int buffer, char *base) {
    atomic_store_explicit(&run->base[buffer], base, memory_order_relaxed);
}

static inline void nn_put_batch(nn_run *run, int64_t row, int64_t samples) {
    atomic_store_explicit(&run->row, row, memory_order_relaxed);
    atomic_store_explicit(&run->samples, samples, memory_order_relaxed);
}

static inline void nn_put_cut(nn_run *run, int undivided, double look_at) {
    atomic_store_explicit(&run->undivided, undivided, memory_order_relaxed);
    atomic_store_explicit(&run->look_at, look_at, memory_order_relaxed);
}

/* A thread's own copy of a run that others are at work on: they note bad rows in theirs. */
static inline void nn_run_copy(nn_run *mine, const nn_run *run) {
    memcpy(mine, run, offsetof(nn_run, bad));
    memcpy(mine->base, run->base, (size_t)(NN_BUFFER_binding + run->n_bindings) * sizeof run->base[0]);
    atomic_store_explicit(&mine->bad, NN_NONE_BAD, memory_order_relaxed);
}

/* Note that a binding has a row that cannot be converted, by its place in the pass: of the first binding the first
 * counts. */
static inline void nn_note_bad(nn_run *run, int64_t place, int64_t binding) {
    const int64_t now = binding * NN_BAD_PLACES + place;
    int64_t first = atomic_load(&run->bad);
    while (now < first && !atomic_compare_exchange_weak(&run->bad, &first, now)) {}
}

/* nn_next_tile of operation `index`. */
static inline int nn_take_tile(nn_run *run, int64_t index, nn_member *me, long count) {
    nn_tiles *tiles = &run->tiles[index * run->threads];
    while (nn_next_tile(tiles, me, count)) {
        const double look_at = atomic_load_explicit(&run->look_at, memory_order_relaxed);
        if (!look_at) return 1;
        if (me->thread == 0 && nn_seconds() > look_at) run->look(run);
        if (!atomic_load_explicit(&run->called_off, memory_order_relaxed)) return 1;
    }
    return 0;
}

/* Thread 0: let the operands of a loop that move be those of a turn. */
static inline void nn_turn(nn_run *run, const nn_section *loop, const nn_moving *moving, int64_t turn) {
    for (const nn_moving *m = moving + loop->moving; m < moving + loop->moving + loop->n_moving; m++)
        nn_put_base(run, NN_BUFFER_moving + (int)m->slot, run->base[m->buffer] + m->offset + turn * m->stride);
}

/* A number of run.scheduled, at the update at hand. */
static inline double nn_now(const nn_run *run, int64_t which) {
    const nn_scheduled *number = &run->scheduled[which];
    return number->values[(*run->updates - run->scheduled_from) * number->stride];
}

/* What the rule of an optimizer is told, at the update at hand. */
static inline nn_rule nn_rule_now(const nn_run *run, int64_t optimizer) {
    const int64_t first = optimizer * NN_RULE_SCHEDULED;
    return (nn_rule){
        .learning_rate = nn_now(run, first + NN_LEARNING_RATE), .weight_decay = nn_now(run, first + NN_WEIGHT_DECAY),
        .grad_scale = 1, .clip_value = run->optimizers[optimizer].clip_value, .step = (double)(*run->updates + 1),
    };
}

/* The memory of an operand; NULL: absent. */
static inline void *nn_at(const nn_run *run, nn_operand where) {
    char *base = atomic_load_explicit(&run->base[where.buffer], memory_order_relaxed);
    return base ? base + where.offset : (void *)0;
}

/* A chain's operation on samples from `first` on, by a thread: itself, or `mine`, a copy whose local operands are such
 * that their sample `first` is the first of the thread's room (sample 0 would lie before it). */
static inline const nn_op *nn_at_samples(const nn_op *op, nn_op *mine, const nn_run *run, int64_t first,
                                         int64_t thread) {
    if (!op->n_locals) return op;
    *mine = *op;
    const nn_local *const begin = run->locals + op->first_local;
    for (const nn_local *l = begin; l < begin + op->n_locals; l++) {
        const int64_t room = thread * run->scratch_bytes + run->local_from + l->offset;
        *(nn_operand *)((char *)mine + l->operand) = (nn_operand){NN_BUFFER_local, room - first * l->bytes};
    }
    return mine;
}

/* What a thread is to fetch, by its scratch. */
static inline nn_ahead *nn_ahead_at(const nn_run *run, void *scratch) {
    return (nn_ahead *)((char *)scratch + run->ahead_from);
}

/* Let a thread fetch what a chain touches of `count` samples from `first` on. */
static inline void nn_fetch_samples(const nn_run *run, const nn_op *chain, int64_t first, int64_t count,
                                    int64_t thread) {
    nn_ahead *ahead = nn_ahead_at(run, run->scratch + thread * run->scratch_bytes);
    const nn_distant *const begin = run->distant + chain->first_distant;
    ahead->next = ahead->count = 0;
    if (count > 0)
        for (const nn_distant *d = begin; d < begin + chain->n_distant; d++)
            nn_add_ahead(ahead, (const char *)nn_at(run, d->tensor) + first * d->bytes, count * d->bytes);
}

/* How many parts of an accumulator a batch of so many samples has. */
static inline int64_t nn_parts(const nn_run *run, const nn_accumulator *a, int64_t samples) {
    if (a->by_chunks) return run->n_chunks;
    return a->rows ? (samples + a->rows - 1) / a->rows : 1;
}

/* Add the parts of a batch, each counting `times`, to the numbers of a sum. */
static inline void nn_add_parts(const nn_run *run, const nn_accumulator *a, double times, double *out) {
    const int64_t parts = nn_parts(run, a, run->samples);
    const double *part = run->partial + a->partial;
    const nn_event *e = (const nn_event *)part;
    if (a->events)
        for (const nn_event *end = e + parts * a->events; e < end; e++) {
            if (e->place >= 0) out[e->place] += e->value;
        }
    else if (!a->rows && !a->by_chunks)
        memcpy(out, part, (size_t)a->width * sizeof *out);
    else
        for (int64_t k = 0; k < parts; k++, part += a->size)
            for (int64_t j = 0; j < a->width; j++) out[j] += part[j] * times;
}

/* Where part number `part` of accumulator `sum` goes. */
static inline double *nn_partial(const nn_run *run, int64_t sum, int64_t part) {
    const nn_accumulator *a = &run->accumulators[sum];
    return run->partial + a->partial + part * a->size;
}

#endif
