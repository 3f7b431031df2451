/* Inside this target only. */
#pragma once
#include "CVectorKernel.h"

struct vector_query {
    const int8_t *codes; /* for u8 x s8 */
    const int16_t *wide; /* for 16-bit multiply-add */
    size_t stride;
    int32_t bias; /* 128 * sum of the codes: what the rows' + 128 adds to every product */
};

typedef struct {
    const char *name;
    float (*dot)(const float *, const float *, size_t);
    float (*euclid)(const float *, const float *, size_t);
    float (*manhattan)(const float *, const float *, size_t);
    int32_t (*codes)(const vector_query *, const uint8_t *);
} kernel;
const kernel *kernel_chosen(void);
