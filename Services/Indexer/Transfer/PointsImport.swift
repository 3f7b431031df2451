import FastJSON
import HTTPServer
import WireProtocol

/// A file of points into a collection. Points are written whole, so what was interrupted is simply done again.
struct PointsImport: Sendable {
    let qdrant: QdrantConnection
    /// `nil`: the collection that the file names, with its aliases where nobody else has them.
    let collection: String?
    var replaces = false
    /// Units: bytes of points in one request.
    var partBytes = 4 << 20
    var partPoints = 1000

    /// Answers the collection and how many points were stored. Throws: `TransferError` that names the line; what stands before the
    /// request with that line is stored.
    func run(_ reader: PointsFileReader, progress: TransferProgress) async throws -> (
        collection: String, points: Int, aliases: [String]
    ) {
        guard let first = try reader.next() else { throw TransferError("line 1 is missing: the file is empty") }
        let header = try PointsFileHeader(try Self.json(first, line: 1))
        let wanted = CollectionReader(qdrant: qdrant, name: collection ?? header.collection)
        let name = try await wanted.names().physical
        var upload = PointsUpload(qdrant: qdrant, collection: name, replaces: replaces)
        try await upload.prepare(header.configuration, payloadSchema: header.payloadSchema)
        // A collection with what this program does not know (multivectors) is checked by its server alone.
        let checker = (try? CollectionConfiguration(request: header.configuration)).map { PointsChecker($0) }
        if checker == nil { upload.concurrentRequests = 1 }
        progress.begin(header.points)
        var stored = 0
        try await upload.send {
            guard let part = try part(from: reader) else { return nil }
            return try await BlockingPool.run { try checker?.checked(part) ?? part.joined }
        } stored: { part in
            stored += part.count
            progress.advance(by: part.count)
        }
        if let promised = header.points, promised != stored {
            throw TransferError(
                "the file holds \(stored) points, its first line says \(promised): it was cut off or changed. What it holds is stored"
            )
        }
        return (name, stored, collection == nil ? try await upload.setAliases(header.aliases, moving: false) : [])
    }

    /// Lines until they make a request.
    private func part(from reader: PointsFileReader) throws -> PointsChecker.Lines? {
        var lines = PointsChecker.Lines()
        while lines.bytes < partBytes, lines.texts.count < partPoints, let text = try reader.next() {
            lines.texts.append((reader.line, text))
            lines.bytes += text.count
        }
        return lines.texts.isEmpty ? nil : lines
    }

    static func json(_ text: ArraySlice<UInt8>, line: Int) throws -> JSONValue {
        do {
            return try JSONReader.parse(Array(text))
        } catch {
            throw TransferError(
                "line \(line) is \(error.message)\(text.last == UInt8(ascii: "}") ? "" : " (is it cut off?)")")
        }
    }
}

/// Finds the line at fault before anything of it is sent: a real Qdrant's refusal names none.
struct PointsChecker: Sendable {
    struct Lines: Sendable {
        var texts: [(number: Int, text: ArraySlice<UInt8>)] = []
        var bytes = 0

        var joined: PointsUpload.Part {
            var part = PointsUpload.Part()
            part.bytes.reserveCapacity(bytes + texts.count)
            for line in texts { part.add(line.text) }
            if let first = texts.first, let last = texts.last { part.lines = first.number...last.number }
            return part
        }
    }
    private let configuration: CollectionConfiguration
    init(_ configuration: CollectionConfiguration) { self.configuration = configuration }

    func checked(_ lines: Lines) throws -> PointsUpload.Part {
        var part = lines.joined
        do {
            let points = try read(part.bytes)
            guard points.count == lines.texts.count else { throw TransferError("") }
            for (point, line) in zip(points, lines.texts) { try check(point, line.number) }
            part.ids = Set(points.map(\.id))
            return part
        } catch {
            for line in lines.texts { try checkAlone(line.text, line.number) }
            throw error
        }
    }

    private func read(_ points: [UInt8]) throws -> [PointChange] {
        try PointsBody(Array("{\"points\":[".utf8) + points + Array("]}".utf8)).upserts(into: configuration)
    }

    private func check(_ change: PointChange, _ line: Int) throws {
        guard case .upsert(let vectors, _) = change.effect else { return }
        for vector in vectors {
            guard case .dense(let values) = vector.values, let known = configuration.vector(at: vector.position) else {
                continue
            }
            guard values.count == known.size else {
                let which = known.name.isEmpty ? "the vector" : "the vector \(known.name)"
                throw TransferError(
                    "line \(line): \(which) has \(values.count) numbers, not \(known.size) (point \(change.id))")
            }
        }
    }

    private func checkAlone(_ text: ArraySlice<UInt8>, _ line: Int) throws {
        guard case .object = try PointsImport.json(text, line: line) else {
            throw TransferError("line \(line) is no point: it must be an object with id, vector and payload")
        }
        do {
            for change in try read(Array(text)) { try check(change, line) }
        } catch let error as TransferError {
            throw error
        } catch {
            let reason = "\(error)".replacing("Format error in JSON body: ", with: "").replacing("points[0].", with: "")
            throw TransferError("line \(line): \(reason)")
        }
    }
}
