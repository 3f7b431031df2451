#pragma once

#include <malloc.h>

/// glibc gives each thread an arena of its own, eight a core: memory that one thread has freed no other uses again.
static inline void limit_malloc_arenas(int count) {
#ifdef M_ARENA_MAX
    mallopt(M_ARENA_MAX, count);
#else
    (void)count;
#endif
}
