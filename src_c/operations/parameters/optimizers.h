/* optimizers.h: ids and structs of the optimizers, as optimizers.def declares them. */
#ifndef NNCORE_OPTIMIZERS_H
#define NNCORE_OPTIMIZERS_H

#include <stddef.h>

enum {
#define OPTIMIZER(name, states, numbers) NN_OPTIMIZER_##name,
#include "operations/parameters/optimizers.def"
    NN_OPTIMIZERS
};

/* What every rule is told. */
typedef struct nn_rule {
#define EVERY(name) double name;
#include "operations/parameters/optimizers.def"
} nn_rule;

/* nn_sgd, nn_adam, …: the hyper-parameters of one. */
#define STATE(name)
#define NUMBER(name, interval) double name;
#define FLAG(name) double name;
#define OPTIMIZER(name, states, numbers) typedef struct nn_##name { numbers } nn_##name;
#include "operations/parameters/optimizers.def"

/* The most state arrays that one has. */
#define STATE(name) + 1
#define NUMBER(name, interval)
#define FLAG(name)
#define OPTIMIZER(name, states, numbers) char name[1 states];
union nn_as_many_as_states {
#include "operations/parameters/optimizers.def"
};
enum { NN_STATES = sizeof(union nn_as_many_as_states) - 1 };

/* The declaration of one, for Python. */
typedef struct nn_number {
    const char *name, *interval; /* interval NULL: a flag */
    size_t offset;               /* in the struct */
} nn_number;

typedef struct nn_optimizer {
    const char *name;
    const char *const *states;   /* each list ends with NULL */
    const nn_number *numbers;
    size_t size;                 /* of the struct */
} nn_optimizer;

nn_optimizer nn_optimizer_at(int id);   /* name NULL: there is none */
extern const nn_number nn_rule_numbers[];

#endif
