import Synchronization

/// The elements this process knows it holds. Redis may have given us more: when a reply was lost, `unheld` finds them.
final class HeldElements: Sendable {
    /// Hashed as one piece of memory; an array would be hashed byte by byte.
    struct Element: Hashable {
        let bytes: [UInt8]
        func hash(into hasher: inout Hasher) { bytes.withUnsafeBytes { hasher.combine(bytes: $0) } }
    }
    private struct State {
        var counts: [Element: Int] = [:]
        var needsRecovery = false
    }
    private let state = Mutex(State())

    var count: Int { state.withLock { $0.counts.values.reduce(0, +) } }

    func add(_ elements: [[UInt8]]) {
        state.withLock { state in for element in elements { state.counts[Element(bytes: element), default: 0] += 1 } }
    }
    func remove(_ elements: [[UInt8]]) {
        state.withLock { state in
            for element in elements.map(Element.init) {
                guard let count = state.counts[element] else { continue }
                state.counts[element] = count > 1 ? count - 1 : nil
            }
        }
    }
    func removeAll() { state.withLock { $0 = State() } }

    func mustRecover() { state.withLock { $0.needsRecovery = true } }

    /// What is held now, when a recovery is due; the next one is due only after another `mustRecover`.
    func recovering() -> [Element: Int]? {
        state.withLock { state in
            guard state.needsRecovery else { return nil }
            state.needsRecovery = false
            return state.counts
        }
    }

    /// Elements that nobody held before the list was read nor after: one that was acknowledged in between is not one.
    func unheld(among list: [[UInt8]], heldBefore before: [Element: Int]) -> [[UInt8]] {
        var counts = state.withLock { $0.counts }.merging(before, uniquingKeysWith: max)
        return list.filter { bytes in
            let element = Element(bytes: bytes)
            guard let count = counts[element], count > 0 else { return true }
            counts[element] = count - 1
            return false
        }
    }
}
