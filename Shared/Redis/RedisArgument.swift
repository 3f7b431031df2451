/// One word of a command, binary safe. Bytes are sent from where they are, never copied into text.
package struct RedisArgument: Sendable, Equatable, ExpressibleByStringLiteral {
    enum Content: Sendable, Equatable { case text(String), bytes([UInt8]) }
    let content: Content

    package init(_ text: String) { content = .text(text) }
    package init(_ bytes: [UInt8]) { content = .bytes(bytes) }
    package init(_ number: Int) { content = .text(String(number)) }
    package init(_ number: Int64) { content = .text(String(number)) }
    package init(stringLiteral text: String) { content = .text(text) }
}
