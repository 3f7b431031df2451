/* An inverted index of sparse vectors: for each term the slots that have it, and its weight there. */
#include "CVectorKernel.h"
#include <stdlib.h>
#include <string.h>

/* Postings never move once written, and a chunk's successor is set before anything is written into it: a reader that knows how many
   postings there were (`sparse_postings`) walks them while the writer goes on. */
struct sparse_chunk {
    struct sparse_chunk *next;
    uint32_t capacity;
    uint32_t unused;
    sparse_posting items[];
};
typedef struct {
    uint32_t term, count;
    struct sparse_chunk *first, *last; /* first == NULL: the entry is empty */
    uint32_t room;                     /* in `last` */
} entry;
struct sparse_index {
    entry *entries;
    size_t capacity, count; /* capacity: a power of two */
    void *slabs;            /* a list through the first word of each */
    char *next_byte;
    size_t bytes_left, bytes;
};

enum { SLAB = 1 << 20, FIRST_CHUNK = 2, LARGEST_CHUNK = 512 };

static void *checked(void *memory) {
    if (!memory) abort();
    return memory;
}

sparse_index *sparse_index_create(void) {
    sparse_index *index = checked(calloc(1, sizeof *index));
    index->capacity = 1024;
    index->entries = checked(calloc(index->capacity, sizeof(entry)));
    return index;
}
void sparse_index_free(sparse_index *index) {
    for (void *slab = index->slabs; slab;) {
        void *next = *(void **)slab;
        free(slab);
        slab = next;
    }
    free(index->entries);
    free(index);
}
size_t sparse_index_bytes(const sparse_index *index) { return index->bytes + index->capacity * sizeof(entry); }

static struct sparse_chunk *new_chunk(sparse_index *index, uint32_t capacity) {
    size_t size = sizeof(struct sparse_chunk) + capacity * sizeof(sparse_posting);
    if (index->bytes_left < size) {
        void *slab = checked(malloc(SLAB));
        *(void **)slab = index->slabs;
        index->slabs = slab;
        index->next_byte = (char *)slab + 16;
        index->bytes_left = SLAB - 16;
        index->bytes += SLAB;
    }
    struct sparse_chunk *chunk = (struct sparse_chunk *)index->next_byte;
    index->next_byte += size;
    index->bytes_left -= size;
    *chunk = (struct sparse_chunk){.capacity = capacity};
    return chunk;
}

/* The entry of the term, or the empty one where it would be. */
static entry *place(entry *entries, size_t capacity, uint32_t term) {
    size_t at = (term * 0x9E3779B97F4A7C15ull) >> 32 & (capacity - 1);
    while (entries[at].first && entries[at].term != term) at = (at + 1) & (capacity - 1);
    return entries + at;
}
static void grow(sparse_index *index) {
    size_t capacity = index->capacity * 2;
    entry *entries = checked(calloc(capacity, sizeof(entry)));
    for (size_t i = 0; i < index->capacity; i++) {
        if (index->entries[i].first) *place(entries, capacity, index->entries[i].term) = index->entries[i];
    }
    free(index->entries);
    index->entries = entries;
    index->capacity = capacity;
}

void sparse_index_add(sparse_index *index, uint32_t slot, const uint32_t *terms, const float *weights, size_t n) {
    for (size_t i = 0; i < n; i++) {
        entry *e = place(index->entries, index->capacity, terms[i]);
        if (!e->first) {
            if (index->count * 3 >= index->capacity * 2) {
                grow(index);
                e = place(index->entries, index->capacity, terms[i]);
            }
            index->count++;
            *e = (entry){.term = terms[i]};
            e->first = e->last = new_chunk(index, FIRST_CHUNK);
            e->room = FIRST_CHUNK;
        } else if (e->room == 0) {
            uint32_t capacity = e->last->capacity < LARGEST_CHUNK ? e->last->capacity * 2 : LARGEST_CHUNK;
            e->last = e->last->next = new_chunk(index, capacity);
            e->room = capacity;
        }
        e->last->items[e->last->capacity - e->room] = (sparse_posting){slot, weights[i]};
        e->room--;
        e->count++;
    }
}

sparse_postings sparse_index_find(const sparse_index *index, uint32_t term) {
    const entry *e = place(index->entries, index->capacity, term);
    return (sparse_postings){e->first, e->count};
}

/* Where one list has been read to. */
typedef struct {
    const struct sparse_chunk *chunk;
    uint32_t at, in_chunk; /* position in the chunk, and how much of it counts */
    uint32_t left;         /* behind the chunk */
} cursor;

static cursor start_of(sparse_postings list) {
    if (list.count == 0) return (cursor){0};
    uint32_t in_chunk = list.count < list.first->capacity ? list.count : list.first->capacity;
    return (cursor){list.first, 0, in_chunk, list.count - in_chunk};
}
static inline int next_chunk(cursor *c) {
    if (c->left == 0) {
        c->chunk = NULL;
        return 0;
    }
    c->chunk = c->chunk->next;
    c->at = 0;
    c->in_chunk = c->left < c->chunk->capacity ? c->left : c->chunk->capacity;
    c->left -= c->in_chunk;
    return 1;
}
/* Moves to the first posting of a slot >= `slot`. */
static void skip_to(cursor *c, uint32_t slot) {
    while (c->chunk && c->chunk->items[c->in_chunk - 1].slot < slot) next_chunk(c);
    while (c->chunk && c->chunk->items[c->at].slot < slot) c->at++;
}

uint32_t sparse_count(sparse_postings list, const uint64_t *mask, uint32_t slots) {
    uint32_t count = 0;
    for (cursor c = start_of(list); c.chunk; next_chunk(&c)) {
        const sparse_posting *items = c.chunk->items;
        uint32_t n = c.in_chunk;
        while (n > 0 && items[n - 1].slot >= slots) n--;
        if (!mask) {
            count += n;
        } else {
            for (uint32_t i = 0; i < n; i++) count += (uint32_t)(mask[items[i].slot / 64] >> (items[i].slot % 64)) & 1;
        }
        if (n < c.in_chunk) break;
    }
    return count;
}

/* So many slots at a time: their scores stay in the processor's nearest cache. */
enum { WINDOW = 1 << 12 };

static void offer(const float *scores, const uint64_t *mask, uint32_t from, uint32_t end, vector_heap *heap) {
    for (uint32_t base = from & ~63u; base < end; base += 64) {
        uint64_t bits = mask[base / 64];
        if (!bits) continue;
        const float *s = scores + (base - (from & ~63u));
        if (heap->count == heap->capacity) {
            float worst = heap->items[0].score, best = s[0];
            for (int i = 1; i < 64; i++) best = s[i] > best ? s[i] : best;
            if (best < worst) continue;
        }
        for (; bits; bits &= bits - 1) {
            uint32_t i = (uint32_t)__builtin_ctzll(bits);
            if (s[i] == 0 || base + i < from || base + i >= end) continue;
            if (heap->count < heap->capacity || s[i] >= heap->items[0].score) vector_heap_push(heap, s[i], base + i);
        }
    }
}

void sparse_scan(const sparse_postings *lists, const float *weights, size_t n, const uint64_t *mask, uint32_t first, uint32_t end,
                 vector_heap *heap) {
    if (n == 0 || heap->capacity == 0) return;
    cursor *cursors = checked(malloc(n * sizeof *cursors));
    float *scores = checked(aligned_alloc(64, WINDOW * sizeof(float)));
    for (size_t i = 0; i < n; i++) {
        cursors[i] = start_of(lists[i]);
        skip_to(cursors + i, first);
    }
    for (uint32_t from = first; from < end;) {
        uint32_t base = from & ~63u;
        uint32_t limit = end - base > WINDOW ? base + WINDOW : end;
        int touched = 0;
        for (size_t i = 0; i < n; i++) {
            cursor c = cursors[i];
            if (!c.chunk || c.chunk->items[c.at].slot >= limit) continue;
            if (!touched) memset(scores, 0, WINDOW * sizeof(float));
            touched = 1;
            const float weight = weights[i];
            do {
                const sparse_posting *items = c.chunk->items;
                if (items[c.in_chunk - 1].slot < limit) {
                    for (uint32_t k = c.at; k < c.in_chunk; k++) scores[items[k].slot - base] += items[k].weight * weight;
                } else {
                    while (items[c.at].slot < limit) {
                        scores[items[c.at].slot - base] += items[c.at].weight * weight;
                        c.at++;
                    }
                    break;
                }
            } while (next_chunk(&c));
            cursors[i] = c;
        }
        if (touched) offer(scores, mask, from, limit, heap);
        from = limit;
    }
    free(scores);
    free(cursors);
}

void sparse_scores(const sparse_postings *lists, const float *weights, size_t n, uint32_t first, uint32_t end, float *scores) {
    for (size_t i = 0; i < n; i++) {
        cursor c = start_of(lists[i]);
        skip_to(&c, first);
        for (; c.chunk; next_chunk(&c)) {
            const sparse_posting *items = c.chunk->items;
            uint32_t k = c.at;
            for (; k < c.in_chunk && items[k].slot < end; k++) scores[items[k].slot - first] += items[k].weight * weights[i];
            if (k < c.in_chunk) break;
        }
    }
}
