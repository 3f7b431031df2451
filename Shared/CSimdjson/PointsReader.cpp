// Bodies of points: what a store needs of them, in flat arrays.
#include "parser.h"
#include <cstring>
#include <new>

using namespace simdjson;

namespace {

/// The first fault in a body's form. Only places and kinds, never a value.
struct malformed {
    std::string problem;
};

[[noreturn]] void refuse(const std::string &path, const char *reason) { throw malformed{path + ": " + reason}; }

std::string at(const char *list, size_t index, const char *field = "") {
    return std::string(list) + "[" + std::to_string(index) + "]" + field;
}

bool read_uuid(std::string_view text, json_point &point) {
    if (text.substr(0, 9) == "urn:uuid:") text.remove_prefix(9);
    bool hyphens = text.size() == 36;
    if (!hyphens && text.size() != 32) return false;
    uint64_t halves[2] = {0, 0};
    size_t digits = 0;
    for (size_t i = 0; i < text.size(); i++) {
        char c = text[i];
        if (hyphens && (i == 8 || i == 13 || i == 18 || i == 23)) {
            if (c != '-') return false;
            continue;
        }
        uint64_t value;
        if (c >= '0' && c <= '9') value = uint64_t(c - '0');
        else if (c >= 'a' && c <= 'f') value = uint64_t(c - 'a' + 10);
        else if (c >= 'A' && c <= 'F') value = uint64_t(c - 'A' + 10);
        else return false;
        halves[digits / 16] = halves[digits / 16] << 4 | value;
        digits++;
    }
    point.id_kind = 1;
    point.id_high = halves[0];
    point.id_low = halves[1];
    return true;
}

void read_id(dom::element id, json_point &point, const std::string &path) {
    uint64_t number;
    std::string_view text;
    if (!id.get(number)) {
        point.id_kind = 0;
        point.id_high = 0;
        point.id_low = number;
    } else if (id.get(text) || !read_uuid(text, point)) {
        refuse(path, "an id must be an unsigned integer or a UUID");
    }
}

void read_floats(json_parser *p, dom::array numbers, std::string_view name, const std::string &path) {
    size_t first = p->floats.size();
    for (dom::element number : numbers) {
        double value;
        if (number.get(value)) refuse(path, "must be a list of numbers");
        p->floats.push_back(float(value));
    }
    p->vectors.push_back({name.data(), name.size(), first, p->floats.size() - first});
}

void read_vectors(json_parser *p, dom::element vector, json_point &point, const std::string &path) {
    point.first_vector = p->vectors.size();
    dom::array numbers;
    dom::object named;
    if (!vector.get(numbers)) {
        read_floats(p, numbers, std::string_view("", 0), path);
    } else if (!vector.get(named)) {
        for (dom::key_value_pair member : named) {
            std::string place = path + "." + std::string(member.key);
            if (member.value.get(numbers)) refuse(place, "must be a list of numbers (sparse vectors are not supported here yet)");
            read_floats(p, numbers, member.key, place);
        }
    } else {
        refuse(path, "must be a list of numbers or an object of named vectors");
    }
    point.vector_count = uint32_t(p->vectors.size() - point.first_vector);
}

void read_payload(json_parser *p, dom::element payload, json_point &point, const std::string &path) {
    point.payload_offset = p->payloads.size();
    point.payload_length = 0;
    if (payload.is_null()) return;
    if (!payload.is_object()) refuse(path, "a payload must be an object");
    p->payloads += simdjson::minify(payload);
    point.payload_length = p->payloads.size() - point.payload_offset;
}

void read_list(json_parser *p, dom::array points) {
    size_t index = 0;
    for (dom::element element : points) {
        json_point point{};
        dom::object object;
        dom::element field;
        if (element.get(object)) refuse(at("points", index), "must be an object");
        if (object["id"].get(field)) refuse(at("points", index, ".id"), "is missing");
        read_id(field, point, at("points", index, ".id"));
        if (object["vector"].get(field)) refuse(at("points", index, ".vector"), "is missing");
        read_vectors(p, field, point, at("points", index, ".vector"));
        if (!object["payload"].get(field)) read_payload(p, field, point, at("points", index, ".payload"));
        p->points.push_back(point);
        index++;
    }
}

void read_batch(json_parser *p, dom::object batch) {
    dom::array ids, payloads;
    dom::element vectors;
    if (batch["ids"].get(ids)) refuse("batch.ids", "must be a list of ids");
    if (batch["vectors"].get(vectors)) refuse("batch.vectors", "is missing");
    size_t index = 0;
    for (dom::element id : ids) {
        json_point point{};
        read_id(id, point, at("batch.ids", index++));
        p->points.push_back(point);
    }
    dom::array rows;
    dom::object named;
    if (!vectors.get(rows)) {
        index = 0;
        for (dom::element row : rows) {
            if (index == p->points.size()) refuse("batch.vectors", "has more vectors than there are ids");
            read_vectors(p, row, p->points[index], at("batch.vectors", index));
            index++;
        }
        if (index != p->points.size()) refuse("batch.vectors", "has fewer vectors than there are ids");
    } else if (!vectors.get(named)) {
        // columns of vectors: gathered so that a point's vectors stand together
        std::vector<std::pair<std::string_view, std::vector<dom::array>>> columns;
        for (dom::key_value_pair member : named) {
            std::string place = "batch.vectors." + std::string(member.key);
            if (member.value.get(rows)) refuse(place, "must be a list of vectors");
            std::vector<dom::array> column;
            for (dom::element row : rows) {
                dom::array numbers;
                if (row.get(numbers)) refuse(place, "must be a list of lists of numbers");
                column.push_back(numbers);
            }
            if (column.size() != p->points.size()) refuse(place, "must have one vector for each id");
            columns.emplace_back(member.key, std::move(column));
        }
        for (size_t i = 0; i < p->points.size(); i++) {
            p->points[i].first_vector = p->vectors.size();
            for (auto &column : columns)
                read_floats(p, column.second[i], column.first, at("batch.vectors", i));
            p->points[i].vector_count = uint32_t(columns.size());
        }
    } else {
        refuse("batch.vectors", "must be a list of vectors or an object of lists");
    }
    dom::element field;
    if (!batch["payloads"].get(field) && !field.is_null()) {
        if (field.get(payloads)) refuse("batch.payloads", "must be a list");
        index = 0;
        for (dom::element payload : payloads) {
            if (index == p->points.size()) refuse("batch.payloads", "has more payloads than there are ids");
            read_payload(p, payload, p->points[index], at("batch.payloads", index));
            index++;
        }
        if (index != p->points.size()) refuse("batch.payloads", "has fewer payloads than there are ids");
    }
}

} // namespace

int json_read_points(json_parser *parser, const uint8_t *bytes, size_t length, json_points *out) {
    try {
        dom::element document, batch;
        dom::array points;
        if (auto error = parser->parse(bytes, length, document)) return error;
        parser->points.clear();
        parser->vectors.clear();
        parser->floats.clear();
        parser->payloads.clear();
        parser->problem.clear();
        try {
            dom::object body, columns;
            if (document.get(body)) refuse("body", "must be an object");
            if (!body["points"].get(points)) read_list(parser, points);
            else if (!body["batch"].get(columns)) read_batch(parser, columns);
            else refuse("body", "needs points (a list) or batch (an object)");
        } catch (const malformed &fault) {
            parser->problem = fault.problem;
        }
        *out = {parser->points.data(),   parser->points.size(),
                parser->vectors.data(),  parser->vectors.size(),
                parser->floats.data(),   parser->floats.size(),
                reinterpret_cast<const uint8_t *>(parser->payloads.data()), parser->payloads.size(),
                parser->problem.c_str()};
        return SUCCESS;
    } catch (const std::bad_alloc &) {
        return MEMALLOC;
    }
}
