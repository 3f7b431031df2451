import ServiceRuntime

/// `GET /openapi.json`.
enum EmbedderOpenAPI {
    static let json = """
        {
          "openapi": "3.1.0",
          "info": {
            "title": "Embedder",
            "version": "\(suiteVersion)",
            "description": "Texts to vectors. Batches come and go over Redis lists; this is the surface for searches and people."
          },
          "security": [{}, {"internalToken": []}],
          "paths": {
            "/embed": {
              "post": {
                "operationId": "embed",
                "summary": "Vectors of texts, in their order, of length 1",
                "requestBody": {
                  "required": true,
                  "content": {"application/json": {"schema": {"$ref": "#/components/schemas/EmbedRequest"}}}
                },
                "responses": {
                  "200": {
                    "description": "One vector a text",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/EmbedResponse"}}}
                  },
                  "400": {"$ref": "#/components/responses/Problem"},
                  "401": {"$ref": "#/components/responses/Problem"},
                  "413": {"$ref": "#/components/responses/Problem"},
                  "422": {"$ref": "#/components/responses/Problem"},
                  "503": {"$ref": "#/components/responses/Problem"}
                }
              }
            },
            "/extract-text": {
              "post": {
                "operationId": "extractText",
                "summary": "The text in an image; needs a vision provider, and there is none yet",
                "responses": {
                  "401": {"$ref": "#/components/responses/Problem"},
                  "501": {"$ref": "#/components/responses/Problem"}
                }
              }
            },
            "/providers": {
              "get": {
                "operationId": "listProviders",
                "summary": "The providers, their models, limits and state",
                "responses": {
                  "200": {
                    "description": "All providers; the default one takes what names none",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Providers"}}}
                  },
                  "401": {"$ref": "#/components/responses/Problem"}
                }
              }
            },
            "/health": {
              "get": {
                "operationId": "health", "security": [{}], "summary": "The service and what it depends on",
                "responses": {
                  "200": {"description": "It works; \\"warn\\" when something is not as it should be",
                          "content": {"application/health+json": {"schema": {"type": "object"}}}},
                  "503": {"description": "It does not work",
                          "content": {"application/health+json": {"schema": {"type": "object"}}}}
                }
              }
            },
            "/livez": {
              "get": {
                "operationId": "livez", "security": [{}], "summary": "The process answers",
                "responses": {"200": {"description": "Yes", "content": {"application/json": {"schema": {"type": "object"}}}}}
              }
            },
            "/readyz": {
              "get": {
                "operationId": "readyz", "security": [{}], "summary": "It can take work",
                "responses": {
                  "200": {"description": "Yes", "content": {"application/json": {"schema": {"type": "object"}}}},
                  "503": {"$ref": "#/components/responses/Problem"}
                }
              }
            },
            "/metrics": {
              "get": {
                "operationId": "metrics", "security": [{}], "summary": "Prometheus text format",
                "responses": {"200": {"description": "Metrics", "content": {"text/plain": {"schema": {"type": "string"}}}}}
              }
            },
            "/openapi.json": {
              "get": {
                "operationId": "openapi", "security": [{}], "summary": "This description",
                "responses": {"200": {"description": "OpenAPI 3.1", "content": {"application/json": {"schema": {"type": "object"}}}}}
              }
            }
          },
          "components": {
            "securitySchemes": {
              "internalToken": {"type": "http", "scheme": "bearer", "description": "Asked for when INTERNAL_TOKEN is set"}
            },
            "responses": {
              "Problem": {
                "description": "RFC 9457",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
              }
            },
            "schemas": {
              "EmbedRequest": {
                "type": "object",
                "required": ["texts"],
                "properties": {
                  "texts": {
                    "type": "array", "minItems": 1,
                    "items": {"type": "string", "minLength": 1, "pattern": "\\\\S"},
                    "description": "At most EMBEDDER_MAX_TEXTS (2048 by default)"
                  },
                  "provider": {"type": "string", "description": "One of GET /providers; the default one otherwise"},
                  "model": {"type": "string", "description": "Another model of the provider, where it takes one"},
                  "dimensions": {"type": "integer", "minimum": 1, "maximum": 16384},
                  "task": {"type": "string", "enum": ["document", "query"], "default": "document"}
                }
              },
              "EmbedResponse": {
                "type": "object",
                "required": ["vectors", "provider", "model", "dimensions", "cached", "tokens"],
                "properties": {
                  "vectors": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
                  "provider": {"type": "string"},
                  "model": {"type": "string"},
                  "dimensions": {"type": "integer"},
                  "cached": {"type": "integer", "description": "Texts that cost nothing"},
                  "tokens": {"type": "integer", "description": "Tokens the provider used (estimated where it does not say)"},
                  "degraded": {"type": "string", "description": "Why the vectors are worse than they should be"}
                }
              },
              "Providers": {
                "type": "object",
                "required": ["default", "providers"],
                "properties": {
                  "default": {"type": "string"},
                  "providers": {
                    "type": "array",
                    "items": {
                      "type": "object",
                      "required": ["name", "model", "dimensions", "space", "task_scheme", "default", "status", "batch_size",
                                   "concurrency", "requests_per_minute", "tokens_per_minute", "cost_per_million_tokens"],
                      "properties": {
                        "name": {"type": "string"},
                        "model": {"type": "string"},
                        "dimensions": {"type": "integer"},
                        "space": {"type": "string", "description": "provider|model|dimensions|task scheme|normalized"},
                        "task_scheme": {"type": "string"},
                        "default": {"type": "boolean"},
                        "status": {"type": "string", "enum": ["ok", "degraded", "failing"]},
                        "batch_size": {"type": "integer"},
                        "concurrency": {"type": "integer"},
                        "requests_per_minute": {"type": ["integer", "null"]},
                        "tokens_per_minute": {"type": ["integer", "null"]},
                        "cost_per_million_tokens": {"type": "number"},
                        "degraded": {"type": "string"},
                        "error": {"type": "string"}
                      }
                    }
                  }
                }
              },
              "Problem": {
                "type": "object",
                "required": ["title", "status"],
                "properties": {
                  "type": {"type": "string"},
                  "title": {"type": "string"},
                  "status": {"type": "integer"},
                  "detail": {"type": "string"},
                  "instance": {"type": "string"},
                  "errors": {
                    "type": "array",
                    "items": {
                      "type": "object", "required": ["field", "message"],
                      "properties": {"field": {"type": "string"}, "message": {"type": "string"}}
                    }
                  }
                }
              }
            }
          }
        }
        """
}
