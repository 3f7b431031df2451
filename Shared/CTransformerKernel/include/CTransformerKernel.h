#pragma once
#include <stddef.h>
#include <stdint.h>

// The element-wise half of a BERT encoder, in float32; the matrix products are OpenBLAS's. Each function picks its AVX-512,
// AVX2 or portable version by what the processor can do. All arrays are row-major and packed: no padding between rows.

/// What the functions below run on: "avx512", "avx2" or "portable".
const char *transformer_kernel_name(void);

/// out[t] = LayerNorm(word[ids[t]] + position[positions[t]] + type), `rows` rows of `width`.
void transformer_embed(const float *word, const float *position, const float *type, const int32_t *ids,
                       const int32_t *positions, const float *gamma, const float *beta, float epsilon, size_t rows,
                       size_t width, float *out);

/// x = (x + bias) * scale, row by row.
void transformer_bias(float *x, const float *bias, float scale, size_t rows, size_t width);

/// x = GELU(x + bias), with the error function (not the tanh approximation).
void transformer_bias_gelu(float *x, const float *bias, size_t rows, size_t width);

/// x = LayerNorm(x + y + bias), row by row.
void transformer_residual_norm(float *x, const float *y, const float *bias, const float *gamma, const float *beta,
                               float epsilon, size_t rows, size_t width);

/// Softmax of each row, in place.
void transformer_softmax(float *x, size_t rows, size_t width);

/// out = x's mean over its rows (or its first row), divided by its length.
void transformer_pool(const float *x, size_t rows, size_t width, int mean, float *out);

/// Divides by the length. Returns 0 and leaves `x` alone when it holds NaN or an infinity or has no length.
int transformer_normalize(float *x, size_t width);
