#pragma once
#include <zlib.h>

// Macros that Swift cannot see.
static inline int zlib_inflate_init(z_streamp stream, int windowBits) { return inflateInit2(stream, windowBits); }
static inline int zlib_deflate_init(z_streamp stream, int level, int windowBits) {
    return deflateInit2(stream, level, Z_DEFLATED, windowBits, 8, Z_DEFAULT_STRATEGY);
}
