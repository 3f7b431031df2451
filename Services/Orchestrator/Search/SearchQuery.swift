import HTTPServer
import WireProtocol

/// What is searched, checked.
struct SearchQuery: Sendable {
    enum Mode: String, CaseIterable, Sendable { case semantic, lexical, hybrid }
    static let maximumLimit = 1000
    static let maximumOffset = 100_000
    static let maximumTextBytes = 16_384
    static let maximumFacets = 20
    var collection: String
    var text: String
    var mode = Mode.hybrid
    var limit: Int
    var offset: Int
    /// In Qdrant's filter language; the store checks it.
    var filter: JSONValue?
    /// Payload keys whose values are counted.
    var facets: [String] = []

    init(_ body: JSONValue) throws(Problem) {
        guard let members = body.object else { throw .badRequest("the body must be a JSON object") }
        let known = ["collection", "query", "limit", "offset", "filter", "mode", "facets"]
        var errors = members.names.filter { !known.contains($0) }.map {
            FieldError(field: $0, message: "is not a member of a search")
        }
        func whole(_ name: String, _ fallback: Int, _ range: ClosedRange<Int>) -> Int {
            guard let value = members[name], !value.isNull else { return fallback }
            if let number = value.integer, range.contains(Int(clamping: number)) { return Int(number) }
            errors.append(
                FieldError(
                    field: name, message: "must be a whole number from \(range.lowerBound) to \(range.upperBound)"))
            return fallback
        }
        func string(_ name: String) -> String {
            guard let value = members[name]?.nonNull else { return "" }
            if value.string == nil {
                errors.append(FieldError(field: name, message: "must be a string, not \(value.kind)"))
            }
            return value.string ?? ""
        }
        collection = string("collection")
        text = string("query")
        limit = whole("limit", 10, 1...Self.maximumLimit)
        offset = whole("offset", 0, 0...Self.maximumOffset)
        filter = members["filter"]?.nonNull
        if let filter, filter.object == nil { errors.append(FieldError(field: "filter", message: "must be an object")) }
        if let given = members["facets"]?.nonNull {
            facets = given.array?.compactMap(\.string) ?? []
            if facets.count != given.array?.count || facets.count > Self.maximumFacets || facets.contains("") {
                errors.append(
                    FieldError(field: "facets", message: "must be a list of at most \(Self.maximumFacets) payload keys")
                )
            }
        }
        errors += Self.check(collection: collection, text: text).filter { new in
            !errors.contains { $0.field == new.field }
        }
        if let given = members["mode"]?.nonNull { read(mode: given.string, &errors) }
        if !errors.isEmpty { throw .badRequest("the search is not valid", errors: errors) }
    }

    /// `?collection=&q=&limit=&offset=&mode=`, for people with a browser.
    init(query request: HTTPRequest) throws(Problem) {
        collection = request.query("collection") ?? ""
        text = request.query("q") ?? ""
        limit = try request.queryInteger("limit", default: 10, in: 1...Self.maximumLimit)
        offset = try request.queryInteger("offset", default: 0, in: 0...Self.maximumOffset)
        var errors = Self.check(collection: collection, text: text, textName: "q")
        if let given = request.query("mode") { read(mode: given, &errors) }
        if !errors.isEmpty { throw .badRequest("the search is not valid", errors: errors) }
    }

    private mutating func read(mode given: String?, _ errors: inout [FieldError]) {
        if let known = given.flatMap(Mode.init) {
            mode = known
        } else {
            errors.append(FieldError(field: "mode", message: "must be semantic, lexical or hybrid"))
        }
    }

    private static func check(collection: String, text: String, textName: String = "query") -> [FieldError] {
        var errors: [FieldError] = []
        if collection.isEmpty { errors.append(FieldError(field: "collection", message: "is required")) }
        if text.allSatisfy(\.isWhitespace) { errors.append(FieldError(field: textName, message: "is required")) }
        if text.utf8.count > maximumTextBytes {
            errors.append(FieldError(field: textName, message: "must have at most \(maximumTextBytes) bytes"))
        }
        return errors
    }
}
