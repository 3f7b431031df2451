// Inside this target only.
#pragma once
#include "CSimdjson.h"
#include <simdjson.h>
#include <string>
#include <vector>

struct json_parser {
    simdjson::dom::parser parser;
    size_t max_depth;
    std::vector<uint8_t> nodes;

    // of the last points body
    std::vector<json_point> points;
    std::vector<json_vector> vectors;
    std::vector<float> floats;
    std::vector<uint32_t> indices;
    std::string payloads;
    std::string rest;
    std::string problem;

    int parse(const uint8_t *bytes, size_t length, simdjson::dom::element &document);
};
