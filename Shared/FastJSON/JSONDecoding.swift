import Foundation
import WireProtocol

/// Typed bodies: the depth is checked first (a recursive type costs Foundation's decoder seconds at a few hundred levels), and an
/// error names the field.
package enum JSONDecoding {
    package static func decode<Value: Decodable>(
        _: Value.Type = Value.self, from bytes: [UInt8], maximumDepth: Int = JSONReader.defaultMaximumDepth
    ) throws(JSONError) -> Value {
        guard !bytes.isEmpty else { throw JSONError(message: "the body is empty") }
        try JSONReader.checkDepth(bytes, maximumDepth: maximumDepth)
        do {
            return try JSONDecoder().decode(Value.self, from: Data(bytes))
        } catch let error as DecodingError {
            throw JSONError(error)
        } catch {
            throw JSONError(message: "not valid JSON")
        }
    }
}

extension JSONError {
    init(_ error: DecodingError) {
        switch error {
        case .keyNotFound(let key, let context):
            self.init(message: "is required", path: Self.path(context.codingPath + [key]))
        case .valueNotFound(let type, let context):
            self.init(message: "must be \(Self.word(for: type)), not null", path: Self.path(context.codingPath))
        case .typeMismatch(let type, let context):
            self.init(message: "must be \(Self.word(for: type))", path: Self.path(context.codingPath))
        case .dataCorrupted(let context):
            let isSyntax = context.codingPath.isEmpty
            self.init(
                message: isSyntax ? "not valid JSON" : "is not an accepted value", path: Self.path(context.codingPath))
        @unknown default: self.init(message: "not valid JSON")
        }
    }

    private static func path(_ keys: [any CodingKey]) -> String? {
        if keys.isEmpty { return nil }
        return keys.reduce(into: "") { text, key in
            if let index = key.intValue {
                text += "[\(index)]"
            } else {
                text += text.isEmpty ? key.stringValue : ".\(key.stringValue)"
            }
        }
    }

    private static func word(for type: any Any.Type) -> String {
        switch type {
        case is String.Type: "a string"
        case is Bool.Type: "true or false"
        case is any FixedWidthInteger.Type: "a whole number"
        case is any BinaryFloatingPoint.Type: "a number"
        case is any Collection.Type: "\(type)".hasPrefix("Dictionary") ? "an object" : "an array"
        default: "of the documented type"
        }
    }
}
