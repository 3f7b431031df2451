/* Top-k scans over a block of rows, and the bitmaps and pages that go with them. */
#define _GNU_SOURCE /* memmem */
#include "kernel.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int vector_slot_compare(const vector_slot *a, const vector_slot *b) {
    if (a->id_kind != b->id_kind) return a->id_kind < b->id_kind ? -1 : 1;
    if (a->id_high != b->id_high) return a->id_high < b->id_high ? -1 : 1;
    return a->id_low < b->id_low ? -1 : a->id_low > b->id_low;
}
typedef struct {
    const vector_slot *const *blocks;
    uint32_t shift;
} slot_reader;
static inline const vector_slot *record(slot_reader reader, uint32_t slot) {
    return reader.blocks[slot >> reader.shift] + (slot & ((1u << reader.shift) - 1));
}

vector_heap vector_heap_create(uint32_t capacity, const vector_slot *const *blocks, size_t block_count, uint32_t block_shift) {
    vector_heap heap = {.capacity = capacity, .block_shift = block_shift};
    heap.items = malloc(sizeof *heap.items * (capacity ? capacity : 1));
    heap.blocks = malloc(sizeof *heap.blocks * (block_count ? block_count : 1));
    if (!heap.items || !heap.blocks) abort();
    if (block_count) memcpy(heap.blocks, blocks, sizeof *heap.blocks * block_count);
    return heap;
}
void vector_heap_free(vector_heap *heap) {
    free(heap->items);
    free(heap->blocks);
    *heap = (vector_heap){0};
}
/* Worse: a lower score, or the larger id of two equals, so that answers depend neither on where points are stored nor on how a scan was
   cut. Ids are looked up for equals only. */
static inline int worse(const vector_heap *heap, vector_candidate a, vector_candidate b) {
    if (a.score != b.score) return a.score < b.score;
    slot_reader reader = {(const vector_slot *const *)heap->blocks, heap->block_shift};
    return vector_slot_compare(record(reader, a.slot), record(reader, b.slot)) > 0;
}
static void sift_down(const vector_heap *heap, uint32_t count, uint32_t at) {
    vector_candidate *items = heap->items, moving = items[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= count) break;
        if (child + 1 < count && worse(heap, items[child + 1], items[child])) child++;
        if (!worse(heap, items[child], moving)) break;
        items[at] = items[child];
        at = child;
    }
    items[at] = moving;
}
void vector_heap_push(vector_heap *heap, float score, uint32_t slot) {
    if (score != score) score = -INFINITY; /* infinite minus infinite: nothing compares with it, and it would stay on top */
    vector_candidate candidate = {score, slot};
    if (heap->count < heap->capacity) {
        uint32_t at = heap->count++;
        while (at > 0 && worse(heap, candidate, heap->items[(at - 1) / 2])) {
            heap->items[at] = heap->items[(at - 1) / 2];
            at = (at - 1) / 2;
        }
        heap->items[at] = candidate;
    } else if (heap->capacity > 0 && worse(heap, heap->items[0], candidate)) {
        heap->items[0] = candidate;
        sift_down(heap, heap->count, 0);
    }
}
void vector_heap_sort(vector_heap *heap) {
    for (uint32_t left = heap->count; left > 1; left--) { /* the worst of those left goes last */
        vector_candidate worst = heap->items[0];
        heap->items[0] = heap->items[left - 1];
        sift_down(heap, left - 1, 0);
        heap->items[left - 1] = worst;
    }
}

uint64_t vector_count_bits(const uint64_t *words, size_t n) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += (uint64_t)__builtin_popcountll(words[i]);
    return sum;
}

/* Row numbers of the set bits, one word after the other. */
static uint32_t set_rows(uint64_t word, uint32_t base, uint32_t *rows) {
    uint32_t n = 0;
    for (; word; word &= word - 1) rows[n++] = base + (uint32_t)__builtin_ctzll(word);
    return n;
}
static inline uint64_t word_of(const uint64_t *mask, uint32_t rows, uint32_t word) {
    uint64_t bits = mask[word];
    uint32_t left = rows - word * 64;
    return left < 64 ? bits & ((1ull << left) - 1) : bits;
}

enum { AHEAD = 6, GATHER = 512 };
#define PREFETCH_ROW(address, bytes) \
    for (size_t at = 0; at < (bytes); at += 64) __builtin_prefetch((const char *)(address) + at)

/* A candidate below the worst of a full heap is dropped before it costs a call. */
#define OFFER(score_, row_)                                                                       \
    do {                                                                                          \
        float score = (score_);                                                                   \
        if (heap->count < heap->capacity || score >= heap->items[0].score)                        \
            vector_heap_push(heap, score, first_slot + (row_));                                   \
    } while (0)

/* Runs ROW over every set row: in sequence where bits are dense (the processor's own prefetcher sees that), gathered with
   software prefetch where they are sparse. */
#define SCAN_ROWS(base_, row_bytes, ROW)                                                          \
    do {                                                                                          \
        uint32_t words = (rows + 63) / 64;                                                        \
        if (vector_count_bits(mask, words) * 100 >= (uint64_t)rows * 15) {                        \
            for (uint32_t w = 0; w < words; w++) {                                                \
                uint64_t bits = word_of(mask, rows, w);                                           \
                if (bits == ~0ull) {                                                              \
                    for (uint32_t row = w * 64; row < w * 64 + 64; row++) ROW;                    \
                } else {                                                                          \
                    for (; bits; bits &= bits - 1) {                                              \
                        uint32_t row = w * 64 + (uint32_t)__builtin_ctzll(bits);                  \
                        ROW;                                                                      \
                    }                                                                             \
                }                                                                                 \
            }                                                                                     \
        } else {                                                                                  \
            uint32_t list[GATHER + 64], n = 0;                                                    \
            for (uint32_t w = 0; w < words; w++) {                                                \
                n += set_rows(word_of(mask, rows, w), w * 64, list + n);                          \
                if (n < GATHER && w + 1 < words) continue;                                        \
                for (uint32_t i = 0; i < n; i++) {                                                \
                    if (i + AHEAD < n) PREFETCH_ROW((const char *)(base_) + list[i + AHEAD] * (row_bytes), row_bytes); \
                    uint32_t row = list[i];                                                       \
                    ROW;                                                                          \
                }                                                                                 \
                n = 0;                                                                            \
            }                                                                                     \
        }                                                                                         \
    } while (0)

void vector_scan_codes(const vector_query *query, const uint8_t *codes, const float *scales, const uint64_t *mask,
                       uint32_t rows, uint32_t first_slot, vector_heap *heap) {
    int32_t (*dot)(const vector_query *, const uint8_t *) = kernel_chosen()->codes;
    const size_t stride = query->stride;
    SCAN_ROWS(codes, stride, OFFER((float)dot(query, codes + row * stride) * scales[row], row));
}

void vector_scan_floats(vector_metric metric, const float *query, size_t dimensions, const float *vectors,
                        const uint64_t *mask, uint32_t rows, uint32_t first_slot, vector_heap *heap) {
    const kernel *k = kernel_chosen();
    float (*score_of)(const float *, const float *, size_t) =
        metric == VECTOR_EUCLID ? k->euclid : metric == VECTOR_MANHATTAN ? k->manhattan : k->dot;
    const float sign = metric == VECTOR_DOT ? 1 : -1;
    SCAN_ROWS(vectors, dimensions * sizeof(float), OFFER(sign * score_of(query, vectors + row * dimensions, dimensions), row));
}

void vector_match_ordinals(const uint32_t *slots, const uint32_t *ordinals, size_t n, const uint8_t *accepted, uint32_t limit,
                           uint64_t *bits) {
    for (size_t i = 0; i < n && slots[i] < limit; i++) {
        if (accepted[ordinals[i]]) bits[slots[i] / 64] |= 1ull << (slots[i] % 64);
    }
}

ptrdiff_t vector_find_number(const uint32_t *values, ptrdiff_t n, uint32_t wanted, ptrdiff_t from, ptrdiff_t *positions,
                             ptrdiff_t capacity) {
    ptrdiff_t count = 0;
    while (from < n && count < capacity) {
        ptrdiff_t end = n - from < 64 ? n : from + 64;
        uint32_t hits = 0;
        for (ptrdiff_t i = from; i < end; i++) hits |= values[i] == wanted; /* a run without a hit costs no branch */
        for (ptrdiff_t i = from; hits && i < end && count < capacity; i++)
            if (values[i] == wanted) positions[count++] = i;
        from = end;
    }
    return count;
}

ptrdiff_t vector_find_flagged(const uint32_t *values, ptrdiff_t n, const uint8_t *flags, ptrdiff_t from, ptrdiff_t *positions,
                              ptrdiff_t capacity) {
    ptrdiff_t count = 0;
    for (; from < n && count < capacity; from++)
        if (flags[values[from]]) positions[count++] = from;
    return count;
}

int vector_has_bytes(const uint8_t *text, size_t n, const uint8_t *part, size_t part_length) {
    return part_length == 0 || memmem(text, n, part, part_length) != NULL;
}

/* While it fills, `best` is a heap with the largest id on top. */
static void sink(slot_reader reader, uint32_t *best, uint32_t count, uint32_t at) {
    uint32_t moving = best[at];
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= count) break;
        if (child + 1 < count && vector_slot_compare(record(reader, best[child + 1]), record(reader, best[child])) > 0) child++;
        if (vector_slot_compare(record(reader, best[child]), record(reader, moving)) <= 0) break;
        best[at] = best[child];
        at = child;
    }
    best[at] = moving;
}
uint32_t vector_smallest_ids(const vector_slot *const *blocks, uint32_t block_shift, uint32_t count_of_slots,
                             const uint64_t *mask, const vector_slot *from, uint32_t *best, uint32_t capacity) {
    slot_reader reader = {blocks, block_shift};
    uint32_t count = 0;
    if (capacity == 0) return 0;
    for (uint32_t w = 0; w < (count_of_slots + 63) / 64; w++) {
        for (uint64_t bits = word_of(mask, count_of_slots, w); bits; bits &= bits - 1) {
            uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(bits);
            const vector_slot *candidate = record(reader, slot);
            if (from && vector_slot_compare(candidate, from) < 0) continue;
            if (count < capacity) {
                uint32_t at = count++;
                while (at > 0 && vector_slot_compare(candidate, record(reader, best[(at - 1) / 2])) > 0) {
                    best[at] = best[(at - 1) / 2];
                    at = (at - 1) / 2;
                }
                best[at] = slot;
            } else if (vector_slot_compare(candidate, record(reader, best[0])) < 0) {
                best[0] = slot;
                sink(reader, best, count, 0);
            }
        }
    }
    for (uint32_t left = count; left > 1; left--) { /* heap sort: ascending ids */
        uint32_t largest = best[0];
        best[0] = best[left - 1];
        sink(reader, best, left - 1, 0);
        best[left - 1] = largest;
    }
    return count;
}
