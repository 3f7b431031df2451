#include "parser.h"
#include <cstring>
#include <new>

using namespace simdjson;

int json_parser::parse(const uint8_t *bytes, size_t length, dom::element &document) {
    if (parser.capacity() < length || parser.max_depth() != max_depth) {
        if (auto error = parser.allocate(length < 4096 ? 4096 : length, max_depth)) return error;
    }
    return parser.parse(bytes, length).get(document);
}

namespace {

template <typename T> void put(std::vector<uint8_t> &out, T value) {
    size_t at = out.size();
    out.resize(at + sizeof value);
    memcpy(out.data() + at, &value, sizeof value);
}

void put_text(std::vector<uint8_t> &out, std::string_view text) {
    put(out, uint32_t(text.size()));
    out.insert(out.end(), text.begin(), text.end());
}

void flatten(std::vector<uint8_t> &out, dom::element element) {
    switch (element.type()) {
    case dom::element_type::NULL_VALUE: out.push_back('n'); break;
    case dom::element_type::BOOL: out.push_back(bool(element) ? 't' : 'f'); break;
    case dom::element_type::INT64: out.push_back('i'); put(out, int64_t(element)); break;
    case dom::element_type::UINT64: out.push_back('u'); put(out, uint64_t(element)); break;
    case dom::element_type::DOUBLE: out.push_back('d'); put(out, double(element)); break;
    case dom::element_type::STRING: out.push_back('s'); put_text(out, element); break;
    case dom::element_type::ARRAY: {
        out.push_back('[');
        size_t at = out.size();
        put(out, uint32_t(0));
        uint32_t count = 0;
        for (dom::element child : dom::array(element)) {
            flatten(out, child);
            count++;
        }
        memcpy(out.data() + at, &count, sizeof count);
        break;
    }
    case dom::element_type::OBJECT: {
        out.push_back('{');
        size_t at = out.size();
        put(out, uint32_t(0));
        uint32_t count = 0;
        for (dom::key_value_pair member : dom::object(element)) {
            put_text(out, member.key);
            flatten(out, member.value);
            count++;
        }
        memcpy(out.data() + at, &count, sizeof count);
        break;
    }
    }
}

} // namespace

json_parser *json_parser_create(size_t max_depth) {
    auto *parser = new (std::nothrow) json_parser;
    if (parser) parser->max_depth = max_depth;
    return parser;
}

void json_parser_free(json_parser *parser) { delete parser; }

int json_parse(json_parser *parser, const uint8_t *bytes, size_t length) {
    try {
        dom::element document;
        if (auto error = parser->parse(bytes, length, document)) return error;
        parser->nodes.clear();
        parser->nodes.reserve(length + 64);
        flatten(parser->nodes, document);
        return SUCCESS;
    } catch (const std::bad_alloc &) {
        return MEMALLOC;
    }
}

namespace {

/// A place on the Earth, or the mere fact of an object.
void flatten_object(std::vector<uint8_t> &out, dom::object object) {
    double latitude, longitude;
    if (!object.at_key("lat").get(latitude) && !object.at_key("lon").get(longitude)) {
        out.push_back('g');
        put(out, latitude);
        put(out, longitude);
    } else {
        out.push_back('{');
    }
}

/// An array's elements, of which inner arrays are named only; any other value as it is.
void flatten_found(std::vector<uint8_t> &out, dom::element element, bool inside) {
    if (element.is_object()) {
        flatten_object(out, element);
    } else if (element.is_array() && inside) {
        out.push_back('{');
    } else if (element.is_array()) {
        out.push_back('[');
        size_t at = out.size();
        put(out, uint32_t(0));
        uint32_t count = 0;
        for (dom::element child : dom::array(element)) {
            flatten_found(out, child, true);
            count++;
        }
        memcpy(out.data() + at, &count, sizeof count);
    } else {
        flatten(out, element);
    }
}

void walk(std::vector<uint8_t> &out, dom::element element, const json_step *steps, size_t count, uint8_t level) {
    if (count == 0) return flatten_found(out, element, false);
    if (steps->name) {
        dom::element member;
        if (element.is_object() && !dom::object(element).at_key({steps->name, steps->length}).get(member))
            walk(out, member, steps + 1, count - 1, level);
        return;
    }
    if (!element.is_array()) return;
    int64_t index = 0;
    for (dom::element child : dom::array(element)) {
        if (steps->index == -3) {
            if (!child.is_object()) continue;
            out.push_back('r');
            out.push_back(level);
            if (count > 1) walk(out, child, steps + 1, count - 1, level + 1);
        } else if (steps->index == -2 || index == steps->index) {
            walk(out, child, steps + 1, count - 1, level);
        }
        index++;
    }
}

} // namespace

int json_extract(json_parser *parser, const uint8_t *bytes, size_t length, const json_step *steps, size_t count) {
    try {
        dom::element document;
        if (auto error = parser->parse(bytes, length, document)) return error;
        parser->nodes.clear();
        walk(parser->nodes, document, steps, count, 0);
        return SUCCESS;
    } catch (const std::bad_alloc &) {
        return MEMALLOC;
    }
}

const uint8_t *json_nodes(const json_parser *parser, size_t *length) {
    *length = parser->nodes.size();
    return parser->nodes.data();
}

namespace {

/// What each character is worth in base64, standard or URL-safe; 255 for others.
struct base64_values {
    uint8_t of[256];
    constexpr base64_values() : of() {
        for (int i = 0; i < 256; i++) of[i] = 255;
        for (int i = 0; i < 26; i++) of['A' + i] = uint8_t(i), of['a' + i] = uint8_t(26 + i);
        for (int i = 0; i < 10; i++) of['0' + i] = uint8_t(52 + i);
        of[int('+')] = of[int('-')] = 62;
        of[int('/')] = of[int('_')] = 63;
    }
};
constexpr base64_values base64;

/// Bytes written, or -1 for anything but base64 (padding optional) of at most `capacity` bytes.
int64_t decode_base64(std::string_view text, uint8_t *out, size_t capacity) {
    while (!text.empty() && text.back() == '=') text.remove_suffix(1);
    size_t rest = text.size() % 4, whole = text.size() - rest;
    if (rest == 1 || whole / 4 * 3 + (rest ? rest - 1 : 0) > capacity) return -1;
    auto in = reinterpret_cast<const uint8_t *>(text.data());
    uint8_t *start = out, seen = 0;
    for (size_t i = 0; i < whole; i += 4, out += 3) {
        uint8_t a = base64.of[in[i]], b = base64.of[in[i + 1]], c = base64.of[in[i + 2]], d = base64.of[in[i + 3]];
        seen |= a | b | c | d;
        uint32_t bits = uint32_t(a) << 18 | uint32_t(b) << 12 | uint32_t(c) << 6 | d;
        out[0] = uint8_t(bits >> 16), out[1] = uint8_t(bits >> 8), out[2] = uint8_t(bits);
    }
    if (rest) {
        uint8_t a = base64.of[in[whole]], b = base64.of[in[whole + 1]], c = rest == 3 ? base64.of[in[whole + 2]] : 0;
        seen |= a | b | c;
        *out++ = uint8_t(a << 2 | b >> 4);
        if (rest == 3) *out++ = uint8_t(b << 4 | c >> 2);
    }
    return seen & 0x80 ? -1 : out - start;
}

enum vector_state : uint8_t { missing, complete, wrong_width, not_finite, unreadable, repeated };

/// `width_found`: the dimensions this vector has.
vector_state read_vector(dom::element element, float *out, size_t width, size_t &width_found) {
    std::string_view text;
    dom::array numbers;
    if (!element.get(text)) {
        size_t characters = text.size();
        while (characters > 0 && text[characters - 1] == '=') characters--;
        width_found = characters * 3 / 4 / 4;
        if (characters * 3 / 4 != width * 4) return characters * 3 / 4 % 4 ? unreadable : wrong_width;
        if (decode_base64(text, reinterpret_cast<uint8_t *>(out), width * 4) != int64_t(width * 4)) return unreadable;
    } else if (!element.get(numbers)) {
        width_found = numbers.size();
        if (width_found != width) return wrong_width;
        float *next = out;
        for (dom::element number : numbers) {
            double value;
            if (number.get(value)) return number.is_null() ? not_finite : unreadable;
            *next++ = float(value);
        }
    } else {
        return unreadable;
    }
    bool finite = true;
    for (size_t i = 0; i < width; i++) {
        uint32_t bits;
        memcpy(&bits, out + i, 4);
        finite &= (bits & 0x7f800000u) != 0x7f800000u;
    }
    return finite ? complete : not_finite;
}

} // namespace

int json_read_vectors(json_parser *parser, const uint8_t *bytes, size_t length, float *out, uint8_t *states, size_t rows,
                      size_t width, size_t *found, size_t *found_width, int64_t *tokens) {
    *found = *found_width = 0;
    *tokens = -1;
    memset(states, missing, rows);
    try {
        if (parser->parser.capacity() < length || parser->parser.max_depth() != parser->max_depth) {
            if (auto error = parser->parser.allocate(length < 4096 ? 4096 : length, parser->max_depth)) return error;
        }
        dom::element document;
        if (auto error = parser->parser.parse(bytes, length).get(document)) return error;
        dom::array items;
        if (document["data"].get(items) && document["embeddings"].get(items)) return -1;
        int64_t position = 0;
        for (dom::element item : items) {
            int64_t index = position++;
            dom::element vector = item;
            dom::object object;
            if (!item.get(object)) {
                int64_t stated;
                if (!object["index"].get(stated)) index = stated;
                if (object["embedding"].get(vector) && object["values"].get(vector)) return -1;
            }
            ++*found;
            if (index < 0 || uint64_t(index) >= rows) continue;
            size_t dimensions = 0;
            vector_state state = states[index] == missing
                ? read_vector(vector, out + size_t(index) * width, width, dimensions) : repeated;
            if (*found == 1) *found_width = dimensions;
            states[index] = state;
        }
        for (const char *path : {"/usage/total_tokens", "/usage/prompt_tokens", "/prompt_eval_count"})
            if (*tokens < 0 && document.at_pointer(path).get(*tokens)) *tokens = -1;
        return SUCCESS;
    } catch (const std::bad_alloc &) {
        return MEMALLOC;
    }
}

const char *json_error_message(int code) { return error_message(error_code(code)); }
