/* describe.c: names and layouts, for Python: the lists of kernels.def, the declarations of operations.def
 * and optimizers.def. */
#include "core/program.h"

const nn_field nn_op_head[] = {
#define HEAD(field) {#field, "INTEGER", offsetof(nn_op, field)}
    HEAD(kind), HEAD(pattern), HEAD(barrier), HEAD(fixed), HEAD(per_sample), HEAD(block), HEAD(cost),
    HEAD(chain), HEAD(chain_step), HEAD(chain_most), HEAD(first_local), HEAD(n_locals),
    HEAD(first_distant), HEAD(n_distant), {NULL, NULL, 0},
};

nn_declaration nn_declared(int kind) {
    switch (kind) {
#define FIELD(field, role) {#field, role, offsetof(nn_op, dense_forward) + offsetof(this_operation, field)},
#define READ(field) FIELD(field, "READ")
#define READ_OPTIONAL(field) FIELD(field, "READ_OPTIONAL")
#define WRITE(field) FIELD(field, "WRITE")
#define WRITE_OPTIONAL(field) FIELD(field, "WRITE_OPTIONAL")
#define CHANGE(field) FIELD(field, "CHANGE")
#define CHANGE_OPTIONAL(field) FIELD(field, "CHANGE_OPTIONAL")
#define INTEGER(field) FIELD(field, "INTEGER")
#define NUMBER(field) FIELD(field, "NUMBER")
#define PARAMETERS(field) FIELD(field, "PARAMETERS")
#define OPERATION(operation, pattern, flops, fusion, all)                                                            \
    case NN_OP_##operation: {                                                                                        \
        typedef nn_op_##operation this_operation;                                                                    \
        static const nn_field fields[] = {all{NULL, NULL, 0}};                                                       \
        return (nn_declaration){#operation, #pattern, #fusion, flops, fields};                                       \
    }
#include "operations.def"
    }
    return (nn_declaration){0};
}

#define EVERY(name) {#name, NULL, offsetof(nn_rule, name)},
const nn_number nn_rule_numbers[] = {
#include "operations/parameters/optimizers.def"
    {NULL, NULL, 0}};

nn_optimizer nn_optimizer_at(int id) {
    switch (id) {
#define STATE(name) #name,
#define NUMBER(name, interval) {#name, interval, offsetof(this_optimizer, name)},
#define FLAG(name) {#name, NULL, offsetof(this_optimizer, name)},
#define OPTIMIZER(name, all_states, all_numbers)                                                                     \
    case NN_OPTIMIZER_##name: {                                                                                      \
        typedef nn_##name this_optimizer;                                                                            \
        static const char *const states[] = {all_states NULL};                                                       \
        static const nn_number numbers[] = {all_numbers{NULL, NULL, 0}};                                             \
        return (nn_optimizer){#name, states, numbers, sizeof(this_optimizer)};                                       \
    }
#include "operations/parameters/optimizers.def"
    }
    return (nn_optimizer){0};
}

#define SECTION(name) #name,
const char *const nn_section_names[] = {
#include "operations.def"
    NULL};
#define PATTERN(name) #name,
const char *const nn_pattern_names[] = {
#include "operations.def"
    NULL};
#define PRECISION(name) #name,
const char *const nn_precision_names[] = {
#include "kernels.def"
    NULL};
#define ACTIVATION(name, saved, parameters) #name,
const char *const nn_activation_names[] = {
#include "kernels.def"
    NULL};
#define ACTIVATION(name, saved, parameters) #saved,
const char *const nn_activation_saved[] = {
#include "kernels.def"
    NULL};
#define CONSTRAINT(name) #name,
const char *const nn_constraint_names[] = {
#include "kernels.def"
    NULL};
#define ROWWISE(name, saved) #name,
const char *const nn_rowwise_names[] = {
#include "kernels.def"
    NULL};
#define ROWWISE(name, saved) #saved,
const char *const nn_rowwise_saved[] = {
#include "kernels.def"
    NULL};
#define LOSS(name, form, target, parameters) #name,
const char *const nn_loss_names[] = {
#include "kernels.def"
    NULL};
#define LOSS(name, form, target, parameters) #target,
const char *const nn_loss_targets[] = {
#include "kernels.def"
    NULL};
#define LOSS(name, form, target, parameters) #form,
const char *const nn_loss_forms[] = {
#include "kernels.def"
    NULL};
#define METRIC(name, target, parameters) #name,
const char *const nn_metric_names[] = {
#include "kernels.def"
    NULL};
#define METRIC(name, target, parameters) #target,
const char *const nn_metric_targets[] = {
#include "kernels.def"
    NULL};
#define TALLY(name, parameters) #name,
const char *const nn_tally_names[] = {
#include "kernels.def"
    NULL};
#define SOURCE(name, type) #name,
const char *const nn_source_names[] = {
#include "kernels.def"
    NULL};
#define FUNCTION(name) #name,
const char *const nn_function_names[] = {
#include "kernels.def"
    NULL};
#define BUFFER(name) #name,
const char *const nn_buffer_names[] = {
#include "kernels.def"
    NULL};

/* The parameters' names, each followed by a space. */
#define PARAMETER(name) #name " "
const char *const nn_activation_parameters[] = {
#define ACTIVATION(name, saved, parameters) "" parameters,
#include "kernels.def"
    NULL};
const char *const nn_loss_parameters[] = {
#define LOSS(name, form, target, parameters) "" parameters,
#include "kernels.def"
    NULL};
const char *const nn_metric_parameters[] = {
#define METRIC(name, target, parameters) "" parameters,
#include "kernels.def"
    NULL};
const char *const nn_tally_parameters[] = {
#define TALLY(name, parameters) "" parameters,
#include "kernels.def"
    NULL};
