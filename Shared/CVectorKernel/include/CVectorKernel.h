/* The arithmetic of the embedded vector store: dot products and scans with run-time choice of the instruction set, bitmaps,
   CRC-32C. Plain functions over plain memory: no allocation but in `vector_query_create` and `vector_heap_create`.

   Shape: vectors are row-major Float32, `dimensions` a row. Codes are one byte a number, value + 128, rows padded with 128 to
   `vector_code_stride` bytes; a row has one scale. Masks are bitmaps, slot s = bit s % 64 of word s / 64. */
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef enum { VECTOR_DOT = 0, VECTOR_EUCLID = 1, VECTOR_MANHATTAN = 2 } vector_metric;

/* "avx512vnni", "avx2" or "portable"; `vector_kernel_use` forces one on the calling thread (tests) and answers 0 where the processor
   lacks it. */
const char *vector_kernel_name(void);
int vector_kernel_use(const char *name);

float vector_dot(const float *a, const float *b, size_t n);
float vector_euclid_squared(const float *a, const float *b, size_t n);
float vector_manhattan(const float *a, const float *b, size_t n);
/* Larger is better for every metric: the dot product, or the distance negated (Euclid squared). */
float vector_score(vector_metric metric, const float *a, const float *b, size_t n);
/* To length 1; a vector that has it, and a zero vector, stay as they are. */
void vector_normalise(float *v, size_t n);
/* 1 when every number is finite. */
int vector_is_finite(const float *v, size_t n);

size_t vector_code_stride(size_t dimensions);
/* Per-vector max-abs quantisation to one byte. Returns the scale: value = (code - 128) * scale. */
float vector_quantise(const float *v, size_t dimensions, uint8_t *codes);
void vector_quantise_rows(const float *v, size_t dimensions, size_t rows, uint8_t *codes, float *scales);

/* A quantised query, read-only once made. */
typedef struct vector_query vector_query;
vector_query *vector_query_create(const float *v, size_t dimensions);
void vector_query_free(vector_query *query);
/* Exact integer dot product of the codes, without scales. */
int32_t vector_code_dot(const vector_query *query, const uint8_t *codes);

/* What the store keeps for a slot beside its vectors; `seg-G.slots` is an array of these. */
typedef struct {
    uint64_t id_high, id_low; /* a number: 0 and the number; a UUID: its two halves, big end first */
    uint64_t payload_offset;
    uint64_t version;
    uint64_t vectors; /* bit i: the i-th named vector is present */
    uint32_t payload_length;
    uint32_t id_kind; /* 0 number, 1 UUID; numbers sort before UUIDs */
} vector_slot;
int vector_slot_compare(const vector_slot *a, const vector_slot *b);

typedef struct {
    float score;
    uint32_t slot;
} vector_candidate;

/* The best `capacity` candidates seen, of equal scores those with the smallest ids: a binary heap with the worst on top. `blocks` hold
   2^block_shift records each; they stay the caller's, and have to stay as long as the heap does. */
typedef struct {
    vector_candidate *items;
    uint32_t count, capacity;
    const vector_slot **blocks;
    uint32_t block_shift;
} vector_heap;
vector_heap vector_heap_create(uint32_t capacity, const vector_slot *const *blocks, size_t block_count, uint32_t block_shift);
void vector_heap_free(vector_heap *heap);
/* No number is worse than every number. */
void vector_heap_push(vector_heap *heap, float score, uint32_t slot);
/* Best first; afterwards it is a sorted list, no heap. */
void vector_heap_sort(vector_heap *heap);

/* Scans `rows` rows whose bit is set in `mask` (its first word belongs to row 0); candidates get slot first_slot + row.
   Few set bits are gathered with prefetch, many are scanned in sequence. */
void vector_scan_codes(const vector_query *query, const uint8_t *codes, const float *scales, const uint64_t *mask,
                       uint32_t rows, uint32_t first_slot, vector_heap *heap);
void vector_scan_floats(vector_metric metric, const float *query, size_t dimensions, const float *vectors,
                        const uint64_t *mask, uint32_t rows, uint32_t first_slot, vector_heap *heap);

/* The slots with the smallest ids that are >= `from` (NULL: all), ascending: one page of a scroll. `blocks` hold 2^block_shift
   records each. Fills `best`, returns how many. */
uint32_t vector_smallest_ids(const vector_slot *const *blocks, uint32_t block_shift, uint32_t slots, const uint64_t *mask,
                             const vector_slot *from, uint32_t *best, uint32_t capacity);

/* Sets the bit of slots[i] where accepted[ordinals[i]] is not 0 and slots[i] < limit. */
void vector_match_ordinals(const uint32_t *slots, const uint32_t *ordinals, size_t n, const uint8_t *accepted, uint32_t limit,
                           uint64_t *bits);
uint64_t vector_count_bits(const uint64_t *words, size_t n);
/* Positions from `from` on where values[i] is `wanted`, or where flags[values[i]] is not 0; at most `capacity`. Answers how many. */
ptrdiff_t vector_find_number(const uint32_t *values, ptrdiff_t n, uint32_t wanted, ptrdiff_t from, ptrdiff_t *positions,
                             ptrdiff_t capacity);
ptrdiff_t vector_find_flagged(const uint32_t *values, ptrdiff_t n, const uint8_t *flags, ptrdiff_t from, ptrdiff_t *positions,
                              ptrdiff_t capacity);

/* 1 where `part` stands somewhere in `text`; the time is that of their lengths' sum. */
int vector_has_bytes(const uint8_t *text, size_t n, const uint8_t *part, size_t part_length);

/* An inverted index of sparse vectors. One writer adds slots in ascending order; `sparse_index_add` and `sparse_index_find` exclude each
   other (the caller's lock), what was found is read without it. */
typedef struct {
    uint32_t slot;
    float weight;
} sparse_posting;
typedef struct sparse_index sparse_index;
sparse_index *sparse_index_create(void);
void sparse_index_free(sparse_index *index);
size_t sparse_index_bytes(const sparse_index *index);
void sparse_index_add(sparse_index *index, uint32_t slot, const uint32_t *terms, const float *weights, size_t n);

/* All that there is of one term at one moment, ascending by slot. */
typedef struct {
    const struct sparse_chunk *first;
    uint32_t count;
} sparse_postings;
sparse_postings sparse_index_find(const sparse_index *index, uint32_t term);
/* How many of the slots below `slots` have the term and their bit in `mask` (NULL: all). */
uint32_t sparse_count(sparse_postings list, const uint64_t *mask, uint32_t slots);
/* Offers every slot of [first, end) that is in `mask` and has a score other than 0: the sum of its weights times `weights`, one for
   each of the `n` lists. */
void sparse_scan(const sparse_postings *lists, const float *weights, size_t n, const uint64_t *mask, uint32_t first, uint32_t end,
                 vector_heap *heap);
/* Adds that score of every slot of [first, end) to scores[slot - first]. */
void sparse_scores(const sparse_postings *lists, const float *weights, size_t n, uint32_t first, uint32_t end, float *scores);

/* Brings a part of a file from the page cache to the disk, and waits: not durable without an fdatasync, which then has little left to do.
   -1: failed, as errno says. */
int store_write_out(int descriptor, int64_t offset, int64_t bytes);

uint32_t vector_crc32c(uint32_t seed, const void *bytes, size_t n);
