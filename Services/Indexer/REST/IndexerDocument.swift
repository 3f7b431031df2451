import WireProtocol

/// The OpenAPI 3.1 document of this service.
enum IndexerDocument {
    static let json: JSONValue = ["openapi": "3.1.0", "info": ["title": "indexer", "version": "0.1.0"], "paths": [:]]
}
