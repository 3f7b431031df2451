#include "CTransformerKernel.h"
#include <math.h>
#include <string.h>

// Every kernel is written once, as plain loops that the compiler vectorises, and compiled for each instruction set. Sums
// may be reordered and products fused: that is what lets a reduction use all lanes.
#pragma clang fp reassociate(on)
#pragma clang fp contract(fast)

#define INLINE static inline __attribute__((always_inline))

/// e^x for x <= 0, to about 1e-7 relative; 0 below -87.
INLINE float exp_negative(float x) {
    float t = (x < -87.0f ? -87.0f : x) * 1.44269504088896341f;
    int32_t n = (int32_t)(t - 0.5f);
    float f = (t - (float)n) * 0.69314718055994531f;
    float p = 1.98756914e-4f;
    p = p * f + 1.39819994e-3f;
    p = p * f + 8.33345205e-3f;
    p = p * f + 4.16657962e-2f;
    p = p * f + 1.66666654e-1f;
    p = p * f + 5.00000012e-1f;
    p = p * f * f + f + 1.0f;
    union { int32_t i; float f; } power = { .i = (n + 127) << 23 };
    return x < -87.0f ? 0.0f : p * power.f;
}

/// erf(x) as a rational function on [-4, 4], to a few units in the last place. Source: the coefficients of Eigen's `erf`.
INLINE float erf_rational(float x) {
    x = x > 4.0f ? 4.0f : (x < -4.0f ? -4.0f : x);
    float s = x * x;
    float p = -2.72614225801306e-10f;
    p = p * s + 2.77068142495902e-08f;
    p = p * s + -2.10102402082508e-06f;
    p = p * s + -5.69250639462346e-05f;
    p = p * s + -7.34990630326855e-04f;
    p = p * s + -2.95459980854025e-03f;
    p = p * s + -1.60960333262415e-02f;
    float q = -1.45660718464996e-05f;
    q = q * s + -2.13374055278905e-04f;
    q = q * s + -1.68282697438203e-03f;
    q = q * s + -7.37332916720468e-03f;
    q = q * s + -1.42647390514189e-02f;
    return x * p / q;
}

INLINE void norm_row(float *x, const float *gamma, const float *beta, float epsilon, size_t width) {
    float sum = 0;
    for (size_t i = 0; i < width; i++) sum += x[i];
    float mean = sum / (float)width;
    float squares = 0;
    for (size_t i = 0; i < width; i++) squares += (x[i] - mean) * (x[i] - mean);
    float scale = 1.0f / sqrtf(squares / (float)width + epsilon);
    for (size_t i = 0; i < width; i++) x[i] = (x[i] - mean) * scale * gamma[i] + beta[i];
}

INLINE void embed_body(const float *word, const float *position, const float *type, const int32_t *ids,
                       const int32_t *positions, const float *gamma, const float *beta, float epsilon, size_t rows,
                       size_t width, float *restrict out) {
    for (size_t r = 0; r < rows; r++) {
        const float *w = word + (size_t)ids[r] * width, *p = position + (size_t)positions[r] * width;
        float *restrict o = out + r * width;
        for (size_t i = 0; i < width; i++) o[i] = w[i] + p[i] + type[i];
        norm_row(o, gamma, beta, epsilon, width);
    }
}

INLINE void bias_body(float *restrict x, const float *restrict bias, float scale, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++, x += width)
        for (size_t i = 0; i < width; i++) x[i] = (x[i] + bias[i]) * scale;
}

INLINE void bias_gelu_body(float *restrict x, const float *restrict bias, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++, x += width)
        for (size_t i = 0; i < width; i++) {
            float v = x[i] + bias[i];
            x[i] = 0.5f * v * (1.0f + erf_rational(v * 0.70710678118654752f));
        }
}

INLINE void residual_norm_body(float *restrict x, const float *restrict y, const float *restrict bias,
                               const float *restrict gamma, const float *restrict beta, float epsilon, size_t rows,
                               size_t width) {
    for (size_t r = 0; r < rows; r++, x += width, y += width) {
        for (size_t i = 0; i < width; i++) x[i] += y[i] + bias[i];
        norm_row(x, gamma, beta, epsilon, width);
    }
}

INLINE void softmax_body(float *restrict x, size_t rows, size_t width) {
    for (size_t r = 0; r < rows; r++, x += width) {
        float top = x[0];
        for (size_t i = 1; i < width; i++) top = x[i] > top ? x[i] : top;
        float sum = 0;
        for (size_t i = 0; i < width; i++) {
            x[i] = exp_negative(x[i] - top);
            sum += x[i];
        }
        float inverse = 1.0f / sum;
        for (size_t i = 0; i < width; i++) x[i] *= inverse;
    }
}

INLINE int normalize_body(float *x, size_t width) {
    float squares = 0;
    for (size_t i = 0; i < width; i++) squares += x[i] * x[i];
    union { float f; uint32_t i; } bits = { .f = squares };
    if ((bits.i & 0x7f800000u) == 0x7f800000u || squares < 1e-24f) {   // too long, NaN, or as good as nothing: in doubles
        double exact = 0;
        for (size_t i = 0; i < width; i++) exact += (double)x[i] * (double)x[i];
        union { double f; uint64_t i; } wide = { .f = exact };
        if ((wide.i & 0x7ff0000000000000u) == 0x7ff0000000000000u || exact < 1e-60) return 0;
        double inverse = 1.0 / sqrt(exact);
        for (size_t i = 0; i < width; i++) x[i] = (float)((double)x[i] * inverse);
        return 1;
    }
    float inverse = 1.0f / sqrtf(squares);
    for (size_t i = 0; i < width; i++) x[i] *= inverse;
    return 1;
}

INLINE void pool_body(const float *restrict x, size_t rows, size_t width, int mean, float *restrict out) {
    memcpy(out, x, width * sizeof(float));
    for (size_t r = 1; mean && r < rows; r++)
        for (size_t i = 0; i < width; i++) out[i] += x[r * width + i];
    normalize_body(out, width);
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")))
#define VERSIONS(result, name, parameters, arguments)                                        \
    AVX2 static result name##_avx2 parameters { return name##_body arguments; }              \
    AVX512 static result name##_avx512 parameters { return name##_body arguments; }          \
    static result name##_portable parameters { return name##_body arguments; }               \
    result transformer_##name parameters {                                                   \
        switch (level()) {                                                                   \
        case 2: return name##_avx512 arguments;                                              \
        case 1: return name##_avx2 arguments;                                                \
        default: return name##_portable arguments;                                           \
        }                                                                                    \
    }
static int level(void) {
    static int known = -1;
    int found = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (found >= 0) return found;
    __builtin_cpu_init();
    int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
        && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
    found = avx512 ? 2 : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1 : 0;
    __atomic_store_n(&known, found, __ATOMIC_RELAXED);
    return found;
}
const char *transformer_kernel_name(void) {
    return level() == 2 ? "avx512" : level() == 1 ? "avx2" : "portable";
}
#else
#define VERSIONS(result, name, parameters, arguments) \
    result transformer_##name parameters { return name##_body arguments; }
const char *transformer_kernel_name(void) { return "portable"; }
#endif

VERSIONS(void, embed,
         (const float *word, const float *position, const float *type, const int32_t *ids, const int32_t *positions,
          const float *gamma, const float *beta, float epsilon, size_t rows, size_t width, float *out),
         (word, position, type, ids, positions, gamma, beta, epsilon, rows, width, out))
VERSIONS(void, bias, (float *x, const float *bias, float scale, size_t rows, size_t width), (x, bias, scale, rows, width))
VERSIONS(void, bias_gelu, (float *x, const float *bias, size_t rows, size_t width), (x, bias, rows, width))
VERSIONS(void, residual_norm,
         (float *x, const float *y, const float *bias, const float *gamma, const float *beta, float epsilon,
          size_t rows, size_t width),
         (x, y, bias, gamma, beta, epsilon, rows, width))
VERSIONS(void, softmax, (float *x, size_t rows, size_t width), (x, rows, width))
VERSIONS(void, pool, (const float *x, size_t rows, size_t width, int mean, float *out), (x, rows, width, mean, out))
VERSIONS(int, normalize, (float *x, size_t width), (x, width))
