/* contract.h: what every kernel computes, and the table of kernels that each instruction set fills.
 *
 * Arrays are `void *` to elements of the table's type (`itemsize` bytes: float or double), so one table
 * type serves both. Matrices are row-major; `ld…` is the distance between rows, in elements. A kernel
 * computes one block on one thread: it never allocates, starts a thread or fails; what it requires is
 * asserted. Any size may be 0. IN arrays may be unaligned and read-only; outputs alias inputs only where
 * a line says so. Who calls one has entered the mode of float_mode.h: denormals are 0. "order" is the order of
 * accumulation: always a function of the sizes named, never of the block that a thread was given, so results have the
 * same bits however the work is divided.
 */
#ifndef NNCORE_CONTRACT_H
#define NNCORE_CONTRACT_H

#include <stddef.h>
#include <stdint.h>

#include "core/ahead.h"
#include "operations/parameters/optimizers.h"

typedef ptrdiff_t nn_index;

enum {
#define PRECISION(name) NN_PRECISION_##name,
#include "kernels.def"
    NN_PRECISIONS
};
enum {
#define ACTIVATION(name, saved, parameters) NN_ACTIVATION_##name,
#include "kernels.def"
    NN_ACTIVATIONS
};
enum {
#define CONSTRAINT(name) NN_CONSTRAINT_##name,
#include "kernels.def"
    NN_CONSTRAINTS
};
enum {
#define ROWWISE(name, saved) NN_ROWWISE_##name,
#include "kernels.def"
    NN_ROWWISES
};
enum {
#define LOSS(name, form, target, parameters) NN_LOSS_##name,
#include "kernels.def"
    NN_LOSSES
};
enum {
#define METRIC(name, target, parameters) NN_METRIC_##name,
#include "kernels.def"
    NN_METRICS
};
enum {
#define TALLY(name, parameters) NN_TALLY_##name,
#include "kernels.def"
    NN_TALLIES
};
enum {
#define SOURCE(name, type) NN_SOURCE_##name,
#include "kernels.def"
    NN_SOURCES
};
enum {
#define FUNCTION(name) NN_FUNCTION_##name,
#include "kernels.def"
    NN_FUNCTIONS
};

enum { NN_PACK_ROWS = 32, NN_MANY_ROWS = -1, NN_WINDOWS = -2, NN_WINDOW_GRADIENTS = -3 };

/* What a convolution lays out at a time: reals of an image; windows of a line; places of a window. */
enum { NN_BAND_REALS = 1 << 18, NN_LINE_WINDOWS = 504, NN_WINDOW_PLACES = 1 << 12 };
/* Of winograd.h: points at which it computes; reals of both sides of its products, at all of these, at a time. */
enum { NN_POINTS = 6, NN_SIDE_REALS = 1 << 16 };
enum { NN_PARAMETERS = 4 }; /* numbers that an activation, loss or metric may take */

/* A block of a product:  C (M,N) = f( a( bias + Σ_k A(i,k) B(k,j) ) ),  order: given by K, and where the rows of A are
 * contiguous (a_col 1) by whether the whole product has few columns.
 * A(i,k) = A[i a_row + k a_col], B(k,j) = B[k b_row + j b_col]; of each pair one stride is 1 (X or Xᵀ, W or Wᵀ).
 * Forward: bias, then a(z) = (z − mean) factor + offset where there is `affine`, then Z receives the result where it
 * is not NULL, then C the activation of it.
 * Backward: C = Σ ⊙ f′(saved), where `saved` (M,N) is not NULL. Never both. K = 0 gives the sum 0. */
typedef struct nn_gemm {
    nn_index M, N, K;
    const void *A; nn_index a_row, a_col;
    const void *B; nn_index b_row, b_col;
    const void *packed;               /* NULL, or made by `pack`: B is its columns from `column` (a multiple of nr) */
    nn_index column;
    void *C; nn_index ldc;
    const void *bias;                 /* (N) or NULL */
    const void *affine; nn_index ldaffine; /* mean, factor, offset, each (N), so far apart; or NULL */
    int precision;                    /* NN_PRECISION_…: what the operation asks for; `gemm` does not look at it */
    int activation; const double *parameters; /* NN_ACTIVATION_linear: none; NN_PARAMETERS numbers, of which it
                                       * takes those that kernels.def names */
    void *Z; nn_index ldz;            /* (M,N) or NULL */
    const void *saved; nn_index ldsaved;
    int part;                         /* 1: of the columns of a wider product; 0: all its columns */
    int add;                          /* 1: C += Σ, without bias, Z and saved */
    nn_index a_piece;                 /* 0; or, of bfloat16 and K ≤ 1024: A holds words of two reals each, which its
                                       * strides and offsets count; its second piece lies so many further on; it has
                                       * segments and groups, as below */
    nn_index segments;                /* 0; or, of `highest` and of words: A's axis K is cut in so many, of K /
                                       * segments each (another order than of 0, by whole segments), */
    const nn_index *offsets;          /* that begin at these elements; its rows come */
    nn_index group, a_group;          /* in groups of so many, so many elements apart: windows of an image; group 0:
                                       * it is B's axis K that is cut so */
    int *nonfinite;                   /* set to 1 if an element of C is inf or nan; NULL: not looked at */
    void *scratch;                    /* table->gemm_scratch bytes, 64-byte aligned, private to the caller */
    nn_ahead *ahead;                  /* what is to be fetched meanwhile; NULL: nothing */
} nn_gemm;

/* For a flag that several threads may set at once. */
static inline void nn_set_flag(int *flag) { __atomic_store_n(flag, 1, __ATOMIC_RELAXED); }

/* A loss over rows i: grad = weight_i scale ∂loss_i/∂p. */
typedef struct nn_loss {
    nn_index rows, n;       /* n: outputs per row */
    const void *p;          /* (rows,n) predictions, or logits for …_logits */
    const void *target;     /* (rows,n) reals, or what else kernels.def says; labels lie in [0,n), or [0,n] for corn,
                             * others in a row that counts nothing; of BATCH they are any int32 */
    const void *weight;     /* (rows) reals or NULL: 1 */
    const void *each;       /* TERM, SUM: weights of elements, (rows,n) or NULL: 1 */
    const void *columns;    /* a real for each output, (n), or NULL */
    double scale;           /* 1 / samples of the batch */
    const double *parameters; /* NN_PARAMETERS numbers */
    void *grad;             /* (rows,n) or NULL; may be p, but of BATCH */
    void *prob;             /* …_logits: softmax or sigmoid of p, (rows,n), or NULL; may be p, not grad */
    double *values;         /* BATCH: receives the losses of rows, or NULL */
    double *counted;        /* BATCH: receives how many rows a mean is of, and Σ of their weights; or NULL */
} nn_loss;

typedef double (*nn_rowwise)(const nn_loss *args);

/* The sums of a column: rows, weights, then t and p of the first row, from which d t and d p are differences, so that
 * no square of a distant mean cancels; weighted: d t, d t², d p, d p², d p d t, e = t − p, e². */
enum {
    NN_ROWS_SEEN, NN_WEIGHTS, NN_FIRST_T, NN_FIRST_P, NN_T, NN_TT, NN_P, NN_PP, NN_PT, NN_ERROR, NN_ERRORS, NN_MOMENTS
};

/* What is counted: `value` is added to number `place` of a sum; place < 0: nothing is. */
typedef struct nn_event {
    int64_t place;
    double value;
} nn_event;

/* What rows of predictions count towards; every row has the same number of events. */
typedef struct nn_tally {
    nn_index rows, n, m;      /* elements of a row: predictions, targets */
    const void *p;            /* (rows,n) */
    const void *target;       /* (rows,m) reals, or (rows) int32 labels in [0,n) */
    int labels;
    const void *weight;       /* (rows,weights) reals or NULL: 1 */
    nn_index weights;         /* 1, or n: of each element */
    const void *numbers;      /* reals: what kernels.def says */
    nn_index count;           /* of these, without such as belong to outputs */
    const double *parameters; /* NN_PARAMETERS numbers */
    nn_event *events;         /* (rows, events of a row) */
} nn_tally;

typedef void (*nn_counting)(const nn_tally *args);

/* Where the elements of one row of a data set lie: n = count[0] count[1] count[2] of them, in that order of axes,
 * `step` bytes apart along each. A row that is contiguous has the counts 1, 1, n and the last step of an element. */
typedef struct nn_row {
    nn_index n, count[3], step[3];
} nn_row;

struct nn_op;
struct nn_run;

/* `count` of what an operation's pattern counts, from `first` on; see operations/span.h. */
typedef void (*nn_span)(const struct nn_op *op, struct nn_run *run, nn_index first, nn_index count, void *scratch);

typedef struct nn_table {
    const char *isa;
    nn_index itemsize, lanes;         /* bytes of a real, reals of a vector */
    nn_index mr[NN_PRECISIONS], nr;   /* tile of the product */
    size_t gemm_scratch;              /* bytes, a multiple of 64, of a product; */
    size_t scratch;                   /* of any operation */

    /* By precision; a table without arithmetic of its own for one repeats a more accurate product. Of bfloat16, a sum
     * with an inf or nan in it is inf or nan, not always the one that IEEE arithmetic gives. */
    void (*gemm[NN_PRECISIONS])(const nn_gemm *block);
    /* Of the blocks of K whose sums `gemm[highest]` adds in their order, the bias being in the first; for more than
     * three columns. */
    nn_index (*depth)(nn_index K);
    /* It, or `highest` where that is faster for the whole product; rows: of C, or 0: any number, by packed weights,
     * which must not show in a row's bits; or any number, but seldom few: NN_MANY_ROWS; or
     * NN_WINDOWS, of more than one place; or NN_WINDOW_GRADIENTS, of weights, where winograd.h could compute them in
     * reals. */
    int (*precision_for)(int precision, nn_index rows, nn_index K, nn_index N);
    const char *arithmetic[NN_PRECISIONS]; /* what it multiplies: "float32", … */

    /* Weights W (in,out) laid out once for many products X W, or transposed: dY Wᵀ. `packed_bytes` is 0 where such
     * products read W itself. `pack` does rows first … first + rows of W; `first` is a multiple of NN_PACK_ROWS. */
    size_t (*packed_bytes)(int precision, int transposed, nn_index rows, nn_index in, nn_index out);
    void (*pack)(int precision, int transposed, nn_index in, nn_index out, nn_index first, nn_index rows,
                 const void *W, void *packed);

    /* elementwise on (rows,cols); y may be z; dz may be dy or saved */
    void (*activate[NN_ACTIVATIONS])(nn_index rows, nn_index cols, const void *z, nn_index ldz,
                                     void *y, nn_index ldy, const double *parameters);        /* y = f(z) */
    void (*activate_backward[NN_ACTIVATIONS])(nn_index rows, nn_index cols, const void *saved, nn_index ldsaved,
                                              const void *dy, nn_index lddy, void *dz, nn_index lddz,
                                              const double *parameters);                      /* dz = dy ⊙ f′ */
    /* rows of m from rows of n; where m = n, y may be z, and dz dy or saved */
    void (*rowwise[NN_ROWWISES])(nn_index rows, nn_index n, const void *z, void *y);          /* y = f(z) */
    void (*rowwise_backward[NN_ROWWISES])(nn_index rows, nn_index n, const void *saved, const void *dy, void *dz);

    /* elementwise on n reals; y may be any input */
    void (*add)(nn_index n, const void *a, const void *b, void *y);                           /* y = a + b */
    void (*multiply)(nn_index n, const void *a, const void *b, void *y);                      /* y = a ⊙ b */
    void (*rescale)(nn_index n, double scale, double offset, const void *x, void *y);         /* y = scale x + offset */
    void (*dropout)(nn_index n, uint64_t first, const uint64_t key[2], double rate,
                    const void *x, void *y);      /* y_i = x_i [u(first+i) ≥ rate] / (1 − rate); u: see random.h */

    /* reductions */
    /* y_j = Σ_i x_ij, order: rows */
    void (*column_sums)(nn_index rows, nn_index cols, const void *x, nn_index ldx, void *y, int *nonfinite);
    /* returns Σ (x / unit)², order: n; unit: see reduce.h */
    double (*sum_squares)(nn_index n, const void *x, double *unit);
    /* g += l1 sign(w) + 2 l2 w (g may be NULL); returns l1 Σ|w| + l2 Σ w² */
    double (*regularize)(nn_index n, double l1, double l2, const void *w, void *g);

    /* The penalty of orthogonal.h on W; `room` for 2 rows n + rows² + rows reals. */
    double (*orthogonal)(const struct nn_table *table, nn_index rows, nn_index n, int columns, double factor,
                         const void *w, void *g, void *room, void *scratch);
    /* CONSTRAINT `function` on places first … first + count − 1 of w (outer,n,inner): see constraints.h. */
    void (*constrain)(int function, nn_index n, nn_index inner, nn_index first, nn_index count, void *w,
                      const double *parameters);
    nn_rowwise loss[NN_LOSSES];     /* returns Σ_i weight_i loss_i, in float64, order: rows */
    nn_rowwise metric[NN_METRICS];  /* returns Σ_i weight_i metric_i, likewise */
    nn_counting tally[NN_TALLIES];
    /* Lets rows of p and t (rows,n) go into the sums of columns first … first + count − 1; `sums` (NN_MOMENTS,n).
     * There are `weights` weights, 1 or n, to every `share` rows, or NULL: 1. order: rows */
    void (*moments)(nn_index rows, nn_index n, nn_index first, nn_index count, const void *p, const void *t,
                    const void *weight, nn_index weights, nn_index share, double *sums);
    /* W ← rule(W, g) and its state, for `rows` of n elements: of g one after another, of W and the state those
     * with the numbers `ids` (NULL: 0, 1, …); `numbers` is the optimizer's own struct, `state` its arrays in
     * declared order, NULL for those that these numbers do not need. Adam and RMSprop clip g to ±2^63 (double:
     * ±2^511), too; the latter's ε is at least 2^-126 (2^-1022), the former's the root of that. */
    void (*update[NN_OPTIMIZERS])(nn_index rows, const int32_t *ids, nn_index n, void *w, const void *g,
                                  void *const state[], const nn_rule *rule, const void *numbers);

    /* y (rows,n) = rows of a data set, converted: row r is at x + index[r] stride bytes (index NULL: r), its elements
     * where `row` says, perhaps misaligned; index has `known` ≥ rows entries, the later ones being fetched ahead for
     * the next batch. Returns the first r with a finite element that overflows, else −1. */
    nn_index (*gather[NN_SOURCES])(nn_index rows, const nn_row *row, const void *x, nn_index stride,
                                   const int64_t *index, nn_index known, void *y);
    /* The same to int32; returns the first r with an element that is not a whole number in [low,high), else −1. */
    nn_index (*gather_integers[NN_SOURCES])(nn_index rows, const nn_row *row, const void *x, nn_index stride,
                                            const int64_t *index, nn_index known, int64_t low, int64_t high,
                                            int32_t *y);

    void (*function[NN_FUNCTIONS])(nn_index n, const void *x, void *y); /* y = f(x); y may be x */

    const nn_span *span; /* of each operation of operations.def */
} nn_table;

/* dispatch.c: the tables this build holds, weakest first, and which of them this CPU and OS can run: those of level 0
 * to the last of which this is true, each implying the ones before it. Looking at amx asks the OS for tiles. */
int nn_table_runs(int level);                       /* false beyond the last */
int nn_table_pays(int level);                       /* of one that runs: no slower here than the one before */
const nn_table *nn_table_at(int level, int bits);   /* bits: 32 or 64 */

/* Names in id order, each list ended by NULL. */
extern const char *const nn_precision_names[], *const nn_activation_names[], *const nn_rowwise_names[],
    *const nn_constraint_names[];
extern const char *const nn_loss_names[], *const nn_metric_names[], *const nn_tally_names[];
extern const char *const nn_source_names[], *const nn_function_names[], *const nn_buffer_names[];
extern const char *const nn_activation_parameters[], *const nn_loss_parameters[], *const nn_metric_parameters[],
    *const nn_tally_parameters[];
extern const char *const nn_activation_saved[], *const nn_rowwise_saved[];
extern const char *const nn_loss_targets[], *const nn_loss_forms[], *const nn_metric_targets[];

#endif
