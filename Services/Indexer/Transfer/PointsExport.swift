import ServiceRuntime
import WireProtocol

/// A collection into a file of points. See `CollectionReader` for what it holds when points are written meanwhile.
struct PointsExport: Sendable {
    let source: CollectionReader

    /// Answers how many points were written. `path`: `-` is standard output.
    func run(to path: String, progress: TransferProgress) async throws -> Int {
        let information = try await source.information()
        let (physical, aliases) = try await source.names()
        let expected = try await source.count()
        let writer = try PointsFileWriter(
            path: path,
            header: PointsFileHeader(
                collection: physical, aliases: aliases, configuration: information.request,
                payloadSchema: information.payloadSchema,
                points: 0, exportedAt: Timestamp.now.text))
        progress.begin(expected)
        var written = 0
        var next = try await source.page(at: CollectionReader.Cursor())
        while let (page, cursor) = next {
            async let following = source.page(at: cursor)  // read while this one is written
            for index in page.points.indices { try writer.append(line: page[index]) }
            written += page.points.count
            progress.advance(by: page.points.count)
            next = try await following
        }
        try writer.finish(points: written)
        return written
    }
}
