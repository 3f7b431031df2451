#pragma once
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

/// simdjson's DOM parser (it enforces the depth limit and validates all it reads, unlike On-Demand), its result flattened
/// into one buffer that Swift walks once.
typedef struct json_parser json_parser;

/// NULL when memory is short. `max_depth` counts nested arrays and objects.
json_parser *json_parser_create(size_t max_depth);
void json_parser_free(json_parser *parser);

/// Parses one document. 0, or a simdjson error code. On success the nodes lie in `json_nodes` until the next call.
///
/// A node is one tag byte, then: 'n' 't' 'f' nothing; 'i' int64; 'u' uint64; 'd' double; 's' u32 length and UTF-8 bytes;
/// '[' u32 count and that many nodes; '{' u32 count and that many (u32 length, name bytes, node).
int json_parse(json_parser *parser, const uint8_t *bytes, size_t length);
const uint8_t *json_nodes(const json_parser *parser, size_t *length);

const char *json_error_message(int code);
#ifdef __cplusplus
}
#endif
