// Bodies of points: what a store needs of them, in flat arrays.
#include "parser.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

using namespace simdjson;

namespace {

/// The first fault in a body: places and kinds; of values only an id.
struct fault {
    std::string problem;
    bool is_invalid = false;
};

[[noreturn]] void refuse(const std::string &path, const std::string &reason) { throw fault{path + ": " + reason}; }
/// The form is right, the value is not.
[[noreturn]] void refuse_value(const std::string &path, const std::string &reason) { throw fault{path + ": " + reason, true}; }

std::string at(const char *list, size_t index, const char *field = "") {
    return std::string(list) + "[" + std::to_string(index) + "]" + field;
}

bool read_uuid(std::string_view text, json_point &point) {
    if (text.substr(0, 9) == "urn:uuid:") text.remove_prefix(9);
    else if (text.size() == 38 && text.front() == '{' && text.back() == '}') text = text.substr(1, 36);
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
        refuse(path, "value " + simdjson::minify(id) +
                         " is not a valid point ID, valid values are either an unsigned integer or a UUID");
    }
}

/// Appends to `floats`. One that is no finite float32 (1e39) is refused here: no file or score could hold it.
size_t read_floats(json_parser *p, dom::array numbers, const std::string &path) {
    size_t first = p->floats.size();
    for (dom::element number : numbers) {
        double value;
        if (number.get(value)) {
            if (number.is_array()) refuse(path, "multivectors are not supported by the embedded store");
            refuse(path, "must be a list of numbers");
        }
        float stored = float(value);
        if (!std::isfinite(stored)) refuse(path, "must hold finite 32 bit numbers");
        p->floats.push_back(stored);
    }
    return p->floats.size() - first;
}

/// `place`: as Qdrant says it of a sparse vector, whose name it leaves out.
void read_sparse(json_parser *p, dom::object vector, json_vector &read, const std::string &path, const std::string &place) {
    dom::array indices, values;
    if (vector["indices"].get(indices) || vector["values"].get(values)) {
        dom::element field;
        for (const char *inferred : {"text", "image", "object"})
            if (!vector[inferred].get(field)) refuse(path, "inference is not supported by the embedded store");
        refuse(path, "must be a list of numbers, or a sparse vector with indices and values");
    }
    read.is_sparse = 1;
    read.first_index = p->indices.size();
    bool ascending = true;
    for (dom::element element : indices) {
        uint64_t index;
        if (element.get(index) || index > UINT32_MAX) refuse(path + ".indices", "must be a list of unsigned 32 bit integers");
        if (p->indices.size() > read.first_index && p->indices.back() >= index) ascending = false;
        p->indices.push_back(uint32_t(index));
    }
    size_t count = p->indices.size() - read.first_index;
    if (read_floats(p, values, path + ".values") != count)
        refuse_value(place + ".values", "Validation error: must be the same length as indices [{}]");
    if (ascending) return;
    std::vector<std::pair<uint32_t, float>> pairs(count);
    for (size_t i = 0; i < count; i++) pairs[i] = {p->indices[read.first_index + i], p->floats[read.first + i]};
    std::sort(pairs.begin(), pairs.end());
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && pairs[i].first == pairs[i - 1].first)
            refuse_value(place + ".indices", "Validation error: must be unique [{}]");
        p->indices[read.first_index + i] = pairs[i].first;
        p->floats[read.first + i] = pairs[i].second;
    }
}

void read_vector(json_parser *p, dom::element vector, std::string_view name, const std::string &path,
                 const std::string &place) {
    json_vector read{name.data(), name.size(), p->floats.size(), 0, 0, 0};
    dom::array numbers;
    dom::object sparse;
    if (!vector.get(numbers)) read_floats(p, numbers, path);
    else if (!vector.get(sparse)) read_sparse(p, sparse, read, path, place);
    else if (vector.is_string()) refuse(path, "inference is not supported by the embedded store");
    else refuse(path, "must be a list of numbers, or a sparse vector with indices and values");
    read.count = p->floats.size() - read.first;
    p->vectors.push_back(read);
}

void read_vectors(json_parser *p, dom::element vector, json_point &point, const std::string &path) {
    point.first_vector = p->vectors.size();
    dom::object named;
    if (vector.is_array()) {
        read_vector(p, vector, std::string_view("", 0), path, path);
    } else if (!vector.get(named)) {
        for (dom::key_value_pair member : named)
            read_vector(p, member.value, member.key, path + "." + std::string(member.key), path + ".?");
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
    auto must_match = [&](const char *what, size_t found) {
        if (found == p->points.size()) return;
        refuse_value("batch.batch", std::string("number of ids and ") + what + " must be equal (" +
                                        std::to_string(p->points.size()) + " != " + std::to_string(found) + ")");
    };
    if (!vectors.get(rows)) {
        must_match("vectors", rows.size());
        index = 0;
        for (dom::element row : rows) {
            read_vectors(p, row, p->points[index], at("batch.vectors", index));
            index++;
        }
    } else if (!vectors.get(named)) {
        // columns of vectors: gathered so that a point's vectors stand together
        std::vector<std::pair<std::string_view, std::vector<dom::element>>> columns;
        for (dom::key_value_pair member : named) {
            if (member.value.get(rows)) refuse("batch.vectors." + std::string(member.key), "must be a list of vectors");
            must_match("vectors", rows.size());
            columns.emplace_back(member.key, std::vector<dom::element>());
            for (dom::element row : rows) columns.back().second.push_back(row);
        }
        for (size_t i = 0; i < p->points.size(); i++) {
            p->points[i].first_vector = p->vectors.size();
            for (auto &column : columns) {
                std::string place = "batch.vectors." + std::string(column.first) + "[" + std::to_string(i) + "]";
                read_vector(p, column.second[i], column.first, place, "batch.vectors.?");
            }
            p->points[i].vector_count = uint32_t(columns.size());
        }
    } else {
        refuse("batch.vectors", "must be a list of vectors or an object of lists");
    }
    dom::element field;
    if (!batch["payloads"].get(field) && !field.is_null()) {
        if (field.get(payloads)) refuse("batch.payloads", "must be a list");
        must_match("payloads", payloads.size());
        index = 0;
        for (dom::element payload : payloads) {
            read_payload(p, payload, p->points[index], at("batch.payloads", index));
            index++;
        }
    }
}

/// What stands beside the points: the members that a request of points has; others mean nothing, to Qdrant too.
void read_rest(json_parser *p, dom::object body) {
    p->rest = "{";
    for (const char *name : {"update_filter", "update_mode", "shard_key"}) {
        dom::element value;
        if (body[name].get(value)) continue;
        if (p->rest.size() > 1) p->rest += ',';
        p->rest += std::string("\"") + name + "\":" + simdjson::minify(value);
    }
    p->rest += '}';
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
        parser->indices.clear();
        parser->payloads.clear();
        parser->problem.clear();
        bool is_invalid = false;
        try {
            dom::object body, columns;
            if (document.get(body)) refuse("body", "must be an object");
            if (!body["points"].get(points)) read_list(parser, points);
            else if (!body["batch"].get(columns)) read_batch(parser, columns);
            else refuse("body", "needs points (a list) or batch (an object)");
            read_rest(parser, body);
        } catch (const fault &found) {
            parser->problem = found.problem;
            is_invalid = found.is_invalid;
        }
        *out = {parser->points.data(),   parser->points.size(),
                parser->vectors.data(),  parser->vectors.size(),
                parser->floats.data(),   parser->floats.size(),
                parser->indices.data(),  parser->indices.size(),
                reinterpret_cast<const uint8_t *>(parser->payloads.data()), parser->payloads.size(),
                reinterpret_cast<const uint8_t *>(parser->rest.data()),     parser->rest.size(),
                parser->problem.c_str(), is_invalid};
        return SUCCESS;
    } catch (const std::bad_alloc &) {
        return MEMALLOC;
    }
}
