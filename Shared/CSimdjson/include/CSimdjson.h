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

/// Parses the answer of an embeddings API straight into `out` (`rows` x `width`, row-major). Takes OpenAI's form
/// (`data: [{index, embedding}]`), Gemini's (`embeddings: [{values}]`) and Ollama's (`embeddings: [[...]]`); a vector is an
/// array of numbers or base64 of little-endian float32.
///
/// `states[row]`: 0 missing, 1 read, 2 another number of dimensions, 3 not a finite number in it, 4 unreadable, 5 its index
/// came twice. `found`: vectors in the answer, those with an index outside `rows` included. `found_width`: dimensions of the
/// first one. `tokens`: what the answer says was used, or -1.
/// 0, a simdjson error code, or -1 for JSON without such vectors.
int json_read_vectors(json_parser *parser, const uint8_t *bytes, size_t length, float *out, uint8_t *states, size_t rows,
                      size_t width, size_t *found, size_t *found_width, int64_t *tokens);

const char *json_error_message(int code);
#ifdef __cplusplus
}
#endif
