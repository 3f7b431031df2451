/// What the server puts up with. Sizes in bytes.
package struct HTTPLimits: Sendable {
    /// Request line and header fields together; more is 431.
    package var headBytes = 16 << 10
    /// More is 431.
    package var headerCount = 100
    /// More is 414.
    package var targetBytes = 8 << 10
    /// From the first byte of a request (of a connection, for its first request) to the end of its header; then 408.
    package var head: Duration = .seconds(10)
    /// Between two pieces of a body, and for each piece of an answer to be taken by the client.
    package var stall: Duration = .seconds(30)
    /// For one whole buffered body; then 408.
    package var body: Duration = .seconds(300)
    /// Between two requests of one connection.
    package var idle: Duration = .seconds(75)
    /// All buffered bodies together; more is 503.
    package var bufferedBytes = 512 << 20
    /// Open connections; one more gets 503.
    package var connections = 4096
    /// How long requests in flight have to finish after a stop was requested.
    package var drain: Duration = .seconds(8)
    /// A comment in an event stream on which nothing else was sent.
    package var eventKeepAlive: Duration = .seconds(15)
    /// How long after the end of a client's input the server finds out whether the client is still there.
    package var probe: Duration = .seconds(1)
    package init() {}
}
