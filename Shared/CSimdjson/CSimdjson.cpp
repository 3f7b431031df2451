#include "CSimdjson.h"
#include <cstring>
#include <new>
#include <simdjson.h>
#include <vector>

using namespace simdjson;

struct json_parser {
    dom::parser parser;
    size_t max_depth;
    std::vector<uint8_t> nodes;
};

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
        if (parser->parser.capacity() < length || parser->parser.max_depth() != parser->max_depth) {
            if (auto error = parser->parser.allocate(length < 4096 ? 4096 : length, parser->max_depth)) return error;
        }
        dom::element document;
        if (auto error = parser->parser.parse(bytes, length).get(document)) return error;
        parser->nodes.clear();
        parser->nodes.reserve(length + 64);
        flatten(parser->nodes, document);
        return SUCCESS;
    } catch (const std::bad_alloc &) {
        return MEMALLOC;
    }
}

const uint8_t *json_nodes(const json_parser *parser, size_t *length) {
    *length = parser->nodes.size();
    return parser->nodes.data();
}

const char *json_error_message(int code) { return error_message(error_code(code)); }
