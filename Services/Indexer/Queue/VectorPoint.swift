import CSimdjson
import CVectorKernel
import Crypto
import FastJSON
import Foundation
import Lexical
import SyncJobs
import WireProtocol

/// A record of a datasource as a point: its id, its payload, its vectors.
enum VectorPoint {
    /// The suite's own namespace of point ids.
    static let namespace = UUID(
        uuid: (0x8C, 0x9B, 0x2E, 0x0A, 0x6F, 0x0D, 0x4C, 0x3A, 0x9B, 0x1E, 0x2D, 0x7F, 0x4A, 0x6C, 0x8E, 0x10))
    /// The vector that a sync fills where a collection has several.
    static let vectorName = "text"
    /// The sparse one: weights of the record's words. Collections of the first release have none.
    static let wordsName = "lexical"

    /// The same record has the same id, always.
    static func id(datasourceID: String, key: String) -> PointID {
        let uuid = UUIDv5.make(namespace: namespace, name: "\(datasourceID)/\(key)").uuid
        return withUnsafeBytes(of: uuid) { bytes in
            PointID(
                uuidHigh: UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        }
    }

    /// The record's JSON with `_key` and `_datasource`, copied rather than read and written again. `nil` when it is no object.
    static func payload(_ record: [UInt8], key: String, datasourceID: String, checker: PayloadChecker) -> [UInt8]? {
        var members = record[...]
        if !record.isEmpty {
            guard checker.isObject(record) else { return nil }
            if checker.has("_key", in: record) || checker.has("_datasource", in: record) {
                return rewritten(record, key: key, datasourceID: datasourceID)
            }
            members = record.drop { $0 != UInt8(ascii: "{") }.dropFirst()
        }
        var writer = JSONWriter(reserving: record.count + key.utf8.count + 80)
        writer.raw("{\"_key\":")
        writer.write(key)
        writer.raw(",\"_datasource\":")
        writer.write(datasourceID)
        let first = members.first { $0 > 0x20 }
        if first == nil || first == UInt8(ascii: "}") {
            writer.raw("}")
        } else {
            writer.raw(",")
            writer.raw(Array(members))
        }
        return writer.bytes
    }
    private static func rewritten(_ record: [UInt8], key: String, datasourceID: String) -> [UInt8]? {
        guard case .object(var object)? = try? JSONReader.parse(record) else { return nil }
        object["_key"] = .string(key)
        object["_datasource"] = .string(datasourceID)
        return JSONValue.object(object).serializedBytes
    }

    /// The changes of one point that one record of a batch is, to be applied together. The words are weighed anew whenever the payload
    /// is written, from nothing but the payload and the key: they cannot be older than it. Throws: why the store will never take it.
    static func changes(
        _ change: RecordChange, in configuration: CollectionConfiguration, checker: PayloadChecker,
        analyzer: LexicalAnalyzer
    ) throws(RecordRefusal) -> [PointChange] {
        let record = change.record
        let id = id(datasourceID: change.datasourceID, key: record.key)
        if change.operation == .delete { return [PointChange(id: id, effect: .delete)] }
        guard
            let payload = payload(record.payload, key: record.key, datasourceID: change.datasourceID, checker: checker)
        else {
            throw RecordRefusal("payload_invalid", "the payload is no JSON object")
        }
        guard payload.count <= EmbeddedCollection.maximumPayload else {
            throw RecordRefusal(
                "payload_too_large", "the payload has \(payload.count) bytes, over \(EmbeddedCollection.maximumPayload)"
            )
        }
        let words = try words(of: record, in: configuration, analyzer: analyzer)
        if change.operation == .payload {
            let stored = PointChange(id: id, effect: .payload(payload))
            guard let position = configuration.position(of: wordsName) else { return [stored] }
            return [stored, PointChange(id: id, effect: words.map { .vectors([$0]) } ?? .dropVectors(1 << position))]
        }
        guard let position = configuration.position(of: vectorName) ?? configuration.position(of: ""),
            let size = configuration.vector(at: position)?.size
        else {
            throw RecordRefusal("collection_mismatch", "the collection has no vector \"\(vectorName)\"")
        }
        guard record.vector.count == size else {
            throw RecordRefusal(
                "vector_invalid", "the vector has \(record.vector.count) numbers, the collection's \(size)")
        }
        guard vector_is_finite(record.vector, size) == 1 else {
            throw RecordRefusal("vector_invalid", "the vector has a number that is not finite")
        }
        let vector = PlacedVector(position: position, values: .dense(record.vector))
        return [PointChange(id: id, effect: .upsert(vectors: [vector] + (words.map { [$0] } ?? []), payload: payload))]
    }

    /// `nil` where the collection has no place for them, or the record no word.
    private static func words(
        of record: ProcessedRecord, in configuration: CollectionConfiguration, analyzer: LexicalAnalyzer
    ) throws(RecordRefusal) -> PlacedVector? {
        guard let position = configuration.position(of: wordsName), configuration.sparseVector(at: position) != nil
        else { return nil }
        let terms: LexicalAnalyzer.Terms
        do {
            terms = try analyzer.terms(key: record.key, payload: record.payload)
        } catch {
            throw RecordRefusal("payload_invalid", error.message)
        }
        if terms.indices.isEmpty { return nil }
        return PlacedVector(
            position: position, values: .sparse(SparseVector(indices: terms.indices, values: terms.values)))
    }
}

/// A record's own error: it is counted and reported, and the others go on.
struct RecordRefusal: Error {
    let failure: RecordFailure
    init(_ type: String, _ message: String) { failure = RecordFailure(type: type, message: message) }
}

/// Checks that bytes are one JSON object, without building it.
final class PayloadChecker {
    private let handle: OpaquePointer

    init() throws {
        guard let handle = json_parser_create(JSONReader.defaultMaximumDepth) else {
            throw StoreError.inputOutput("out of memory")
        }
        self.handle = handle
    }
    deinit { json_parser_free(handle) }

    func has(_ name: StaticString, in bytes: [UInt8]) -> Bool {
        name.withUTF8Buffer { name in
            name.withMemoryRebound(to: CChar.self) { name in
                var step = json_step(name: name.baseAddress, length: name.count, index: -1)
                var length = 0
                guard json_extract(handle, bytes, bytes.count, &step, 1) == 0 else { return false }
                _ = json_nodes(handle, &length)
                return length > 0
            }
        }
    }

    func isObject(_ bytes: [UInt8]) -> Bool {
        guard json_extract(handle, bytes, bytes.count, nil, 0) == 0 else { return false }
        var length = 0
        let nodes = json_nodes(handle, &length)
        return length > 0 && nodes?[0] == UInt8(ascii: "{")
    }
}
