/// Where a streamed answer is written. A write returns when the client keeps up, and throws when it has gone.
package struct HTTPBodyWriter: Sendable {
    private let send: @Sendable ([UInt8]) async throws -> Void

    /// For tests that have no connection.
    package init(_ send: @escaping @Sendable ([UInt8]) async throws -> Void) { self.send = send }

    package func write(_ bytes: [UInt8]) async throws {
        try Task.checkCancellation()
        if !bytes.isEmpty { try await send(bytes) }
    }
    package func write(_ text: String) async throws { try await write(Array(text.utf8)) }
}

/// The client went away before its answer was complete.
package struct HTTPDisconnected: Error, Sendable, CustomStringConvertible {
    package init() {}
    package var description: String { "the client closed the connection" }
}
