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

/// A step of a path into a document: a member (`name`), an element (`index` >= 0) or
/// every element (-2) of an array, or every object in it (-3), each announced by a node 'r'.
typedef struct {
    const char *name;
    size_t length;
    int64_t index;
} json_step;

/// Parses one document and leaves the values at a path in `json_nodes`, one node after the other (none where there is no such
/// value). Beside the nodes of `json_parse`: 'r' u8, an object that a step -3 came to (0 for the first such step of the path),
/// the values inside it behind it; 'g' double double, an object with the numbers lat and lon; '{' alone, any other object, or
/// an array in an array. Of an array that was found its elements are left.
int json_extract(json_parser *parser, const uint8_t *bytes, size_t length, const json_step *steps, size_t count);

/// A body of points, `{"points": [{"id", "vector", "payload"}]}` or `{"batch": {"ids", "vectors", "payloads"}}`, read into flat
/// arrays: vectors as Float32, payloads as minified JSON. A vector is a list of numbers, or sparse: `{"indices", "values"}`, left
/// in ascending order of indices. Valid until the next call with the same parser.
typedef struct {
    uint64_t id_high, id_low;
    uint32_t id_kind; ///< 0 number, 1 UUID
    uint32_t vector_count;
    size_t first_vector; ///< in `vectors`
    size_t payload_offset, payload_length; ///< length 0: none
} json_point;
typedef struct {
    const char *name; ///< "" for an unnamed vector; not terminated
    size_t name_length;
    size_t first, count; ///< in `floats`
    size_t first_index;  ///< in `indices`, `count` of them
    int is_sparse;
} json_vector;
typedef struct {
    const json_point *points;
    size_t point_count;
    const json_vector *vectors;
    size_t vector_count;
    const float *floats;
    size_t float_count;
    const uint32_t *indices;
    size_t index_count;
    const uint8_t *payloads;
    size_t payload_bytes;
    /// `update_filter`, `update_mode` and `shard_key`, as a JSON object.
    const uint8_t *rest;
    size_t rest_bytes;
    /// What is wrong with the body, with the place; empty when nothing is.
    const char *problem;
    /// Whether `problem` is about a value, not about the form.
    int is_invalid;
} json_points;

/// 0 with `*out` set (look at `problem`), or a simdjson error code.
int json_read_points(json_parser *parser, const uint8_t *bytes, size_t length, json_points *out);
#ifdef __cplusplus
}
#endif
