/* describe.c: names and layouts, for Python: the lists of kernels.def and the declarations of operations.def. */
#include "core/program.h"

const nn_field nn_op_head[] = {
#define HEAD(field) {#field, "INTEGER", offsetof(nn_op, field)}
    HEAD(kind), HEAD(pattern), HEAD(barrier), HEAD(fixed), HEAD(per_sample), HEAD(block), HEAD(cost), {NULL, NULL, 0},
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
#define LOSS(name, target, parameters) #name,
const char *const nn_loss_names[] = {
#include "kernels.def"
    NULL};
#define LOSS(name, target, parameters) #target,
const char *const nn_loss_targets[] = {
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
#define OPTIMIZER(name) #name,
const char *const nn_optimizer_names[] = {
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
#define LOSS(name, target, parameters) "" parameters,
#include "kernels.def"
    NULL};
const char *const nn_metric_parameters[] = {
#define METRIC(name, target, parameters) "" parameters,
#include "kernels.def"
    NULL};
