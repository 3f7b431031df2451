/// What tells a store's collection from another one and from an older copy of itself.
package struct StoreMark: Sendable, Equatable {
    /// Random, new with each creation.
    package var incarnation: String
    /// Number of its last write, never smaller than before; `nil` where the store does not tell.
    package var sequence: UInt64?

    package init(incarnation: String, sequence: UInt64? = nil) {
        self.incarnation = incarnation
        self.sequence = sequence
    }

    /// Whether something is missing that was there when `known` was noted.
    func isBehind(_ known: StoreMark) -> Bool {
        guard let sequence else { return false }
        return sequence < known.sequence ?? 0
    }
}
