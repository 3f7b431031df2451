/// The body of a request, sent as it comes.
package final class ClientUpload: Sendable {
    let channel = ByteChannel()
    /// Units: bytes; `nil` sends it in chunks.
    let length: Int?

    package init(length: Int?) { self.length = length }

    /// Returns when there was room. Throws: `closed` when the other side wants no more, as after an early answer.
    package func write(_ bytes: [UInt8]) async throws(HTTPClientError) { try await channel.write(bytes) }
    package func finish() { channel.finish() }
    /// The request is given up in the middle.
    package func fail() { channel.finish(throwing: .transport("the body broke off")) }
}

/// An answer whose body has not been read. Letting go of it ends the transfer.
package final class ClientStream: Sendable {
    package let status: Int
    /// As they came, in order.
    package let headers: [(name: String, value: String)]
    private let channel: ByteChannel
    private let end: @Sendable () -> Void

    init(_ head: ClientResponse, channel: ByteChannel, end: @escaping @Sendable () -> Void) {
        (status, headers) = (head.status, head.headers)
        self.channel = channel
        self.end = end
    }
    deinit { end() }

    /// The next part of the body; `nil` at its end.
    package func next() async throws(HTTPClientError) -> [UInt8]? { try await channel.next() }
}
