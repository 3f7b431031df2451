/* Dot products of Float32 rows and of one-byte codes, three ways each. */
#include "kernel.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- portable: clang vectorises these for the baseline of the target once it may reorder the sums ---- */

static float dot_portable(const float *a, const float *b, size_t n) {
#pragma clang fp reassociate(on) contract(fast)
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}
static float euclid_portable(const float *a, const float *b, size_t n) {
#pragma clang fp reassociate(on) contract(fast)
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}
static float manhattan_portable(const float *a, const float *b, size_t n) {
#pragma clang fp reassociate(on) contract(fast)
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += fabsf(a[i] - b[i]);
    return sum;
}
static int32_t codes_portable(const vector_query *q, const uint8_t *codes) {
    int32_t sum = 0;
    for (size_t i = 0; i < q->stride; i++) sum += (int32_t)q->wide[i] * (int32_t)codes[i];
    return sum - q->bias;
}

#if defined(__x86_64__)
#include <immintrin.h>

/* ---- AVX2 + FMA. What is left of a row is added up without FMA: short vectors get the very scores that Qdrant gives them. ---- */

__attribute__((target("avx2,fma"))) static float sum8(__m256 v) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
__attribute__((target("avx2,fma"))) static float dot_avx2(const float *a, const float *b, size_t n) {
#pragma clang fp contract(off)
    __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), s0);
        s1 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8), s1);
        s2 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 16), _mm256_loadu_ps(b + i + 16), s2);
        s3 = _mm256_fmadd_ps(_mm256_loadu_ps(a + i + 24), _mm256_loadu_ps(b + i + 24), s3);
    }
    float sum = sum8(_mm256_add_ps(_mm256_add_ps(s0, s1), _mm256_add_ps(s2, s3)));
    for (; i < n; i++) sum += a[i] * b[i];
    return sum;
}
__attribute__((target("avx2,fma"))) static float euclid_avx2(const float *a, const float *b, size_t n) {
#pragma clang fp contract(off)
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 d0 = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
        __m256 d1 = _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
        s0 = _mm256_fmadd_ps(d0, d0, s0);
        s1 = _mm256_fmadd_ps(d1, d1, s1);
    }
    float sum = sum8(_mm256_add_ps(s0, s1));
    for (; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}
__attribute__((target("avx2,fma"))) static float manhattan_avx2(const float *a, const float *b, size_t n) {
#pragma clang fp contract(off)
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 s0 = _mm256_setzero_ps(), s1 = s0;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        s0 = _mm256_add_ps(s0, _mm256_andnot_ps(sign, _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i))));
        s1 = _mm256_add_ps(s1, _mm256_andnot_ps(sign, _mm256_sub_ps(_mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8))));
    }
    float sum = sum8(_mm256_add_ps(s0, s1));
    for (; i < n; i++) sum += fabsf(a[i] - b[i]);
    return sum;
}
__attribute__((target("avx2,fma"))) static int32_t codes_avx2(const vector_query *q, const uint8_t *codes) {
    __m256i s0 = _mm256_setzero_si256(), s1 = s0;
    for (size_t i = 0; i < q->stride; i += 32) {
        __m256i r0 = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(codes + i)));
        __m256i r1 = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(codes + i + 16)));
        s0 = _mm256_add_epi32(s0, _mm256_madd_epi16(r0, _mm256_loadu_si256((const __m256i *)(q->wide + i))));
        s1 = _mm256_add_epi32(s1, _mm256_madd_epi16(r1, _mm256_loadu_si256((const __m256i *)(q->wide + i + 16))));
    }
    s0 = _mm256_add_epi32(s0, s1);
    __m128i x = _mm_add_epi32(_mm256_castsi256_si128(s0), _mm256_extracti128_si256(s0, 1));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0x4E));
    x = _mm_add_epi32(x, _mm_shuffle_epi32(x, 0xB1));
    return _mm_cvtsi128_si32(x) - q->bias;
}

/* ---- AVX-512 VNNI: u8 x s8, which is why codes carry + 128 and the query does not ---- */

__attribute__((target("avx512f,avx512bw,avx512vnni"))) static int32_t codes_vnni(const vector_query *q, const uint8_t *codes) {
    __m512i s0 = _mm512_setzero_si512(), s1 = s0;
    size_t i = 0;
    for (; i + 128 <= q->stride; i += 128) {
        s0 = _mm512_dpbusd_epi32(s0, _mm512_loadu_si512(codes + i), _mm512_loadu_si512(q->codes + i));
        s1 = _mm512_dpbusd_epi32(s1, _mm512_loadu_si512(codes + i + 64), _mm512_loadu_si512(q->codes + i + 64));
    }
    if (i < q->stride) s0 = _mm512_dpbusd_epi32(s0, _mm512_loadu_si512(codes + i), _mm512_loadu_si512(q->codes + i));
    return _mm512_reduce_add_epi32(_mm512_add_epi32(s0, s1)) - q->bias;
}
#endif

/* ---- the choice ---- */

static const kernel portable = {"portable", dot_portable, euclid_portable, manhattan_portable, codes_portable};
#if defined(__x86_64__)
static const kernel avx2 = {"avx2", dot_avx2, euclid_avx2, manhattan_avx2, codes_avx2};
static const kernel vnni = {"avx512vnni", dot_avx2, euclid_avx2, manhattan_avx2, codes_vnni};
#endif
static const kernel *best = &portable;
static _Thread_local const kernel *forced;

static int supported(const kernel *k) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (k == &avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (k == &vnni) return supported(&avx2) && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
#endif
    return k == &portable;
}
__attribute__((constructor)) static void choose(void) {
#if defined(__x86_64__)
    best = supported(&vnni) ? &vnni : supported(&avx2) ? &avx2 : &portable;
#endif
}
const kernel *kernel_chosen(void) { return forced ? forced : best; }

const char *vector_kernel_name(void) { return kernel_chosen()->name; }
int vector_kernel_use(const char *name) {
    const kernel *all[] = {
        &portable,
#if defined(__x86_64__)
        &avx2, &vnni,
#endif
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (strcmp(all[i]->name, name) != 0 || !supported(all[i])) continue;
        forced = all[i];
        return 1;
    }
    return 0;
}

float vector_dot(const float *a, const float *b, size_t n) { return kernel_chosen()->dot(a, b, n); }
float vector_euclid_squared(const float *a, const float *b, size_t n) { return kernel_chosen()->euclid(a, b, n); }
float vector_manhattan(const float *a, const float *b, size_t n) { return kernel_chosen()->manhattan(a, b, n); }
float vector_score(vector_metric metric, const float *a, const float *b, size_t n) {
    switch (metric) {
    case VECTOR_EUCLID: return -kernel_chosen()->euclid(a, b, n);
    case VECTOR_MANHATTAN: return -kernel_chosen()->manhattan(a, b, n);
    default: return kernel_chosen()->dot(a, b, n);
    }
}
void vector_normalise(float *v, size_t n) {
    float square = kernel_chosen()->dot(v, v, n);
    if (fabsf(square - 1) <= 1e-6f) return; /* as Qdrant does: what was read can be written back without a change */
    if (square >= 1e-30f && isfinite(square)) {
        float length = sqrtf(square);
        for (size_t i = 0; i < n; i++) v[i] /= length;
        return;
    }
    double sum = 0; /* zero, or a square that left float's range: once more in double */
    for (size_t i = 0; i < n; i++) sum += (double)v[i] * v[i];
    if (!(sum > 0)) return;
    double factor = 1 / sqrt(sum);
    for (size_t i = 0; i < n; i++) v[i] = (float)(v[i] * factor);
}
int vector_is_finite(const float *v, size_t n) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, v + i, 4);
        bad |= (bits & 0x7F800000u) == 0x7F800000u;
    }
    return !bad;
}

size_t vector_code_stride(size_t dimensions) { return (dimensions + 63) / 64 * 64; }

/* Finite floats without their sign compare like integers: that loop vectorises, one of floats with NaN rules does not. */
static float max_abs(const float *v, size_t n) {
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, v + i, 4);
        bits &= 0x7FFFFFFFu;
        most = bits > most ? bits : most;
    }
    float result;
    memcpy(&result, &most, 4);
    return result;
}
float vector_quantise(const float *v, size_t dimensions, uint8_t *codes) {
    float most = max_abs(v, dimensions), factor = most > 0 ? 127 / most : 0;
    if (!isfinite(factor)) factor = 0; /* below 4e-37: as good as zero */
    for (size_t i = 0; i < dimensions; i++) codes[i] = (uint8_t)(int32_t)(v[i] * factor + 128.5f);
    memset(codes + dimensions, 128, vector_code_stride(dimensions) - dimensions);
    return factor > 0 ? 1 / factor : 0;
}
void vector_quantise_rows(const float *v, size_t dimensions, size_t rows, uint8_t *codes, float *scales) {
    size_t stride = vector_code_stride(dimensions);
    for (size_t i = 0; i < rows; i++) scales[i] = vector_quantise(v + i * dimensions, dimensions, codes + i * stride);
}

vector_query *vector_query_create(const float *v, size_t dimensions) {
    size_t stride = vector_code_stride(dimensions);
    size_t header = (sizeof(vector_query) + 63) / 64 * 64;
    char *memory = aligned_alloc(64, (header + stride * 3 + 63) / 64 * 64);
    if (!memory) abort();
    vector_query *q = (vector_query *)memory;
    int8_t *codes = (int8_t *)(memory + header);
    int16_t *wide = (int16_t *)(memory + header + stride);
    float most = max_abs(v, dimensions), factor = most > 0 ? 127 / most : 0;
    if (!isfinite(factor)) factor = 0;
    int32_t sum = 0;
    for (size_t i = 0; i < stride; i++) {
        int32_t code = i < dimensions ? (int32_t)lrintf(v[i] * factor) : 0;
        codes[i] = (int8_t)code;
        wide[i] = (int16_t)code;
        sum += code;
    }
    *q = (vector_query){.codes = codes, .wide = wide, .stride = stride, .bias = 128 * sum};
    return q;
}
void vector_query_free(vector_query *query) { free(query); }
int32_t vector_code_dot(const vector_query *query, const uint8_t *codes) { return kernel_chosen()->codes(query, codes); }
