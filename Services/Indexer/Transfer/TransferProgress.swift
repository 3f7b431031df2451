import Foundation
import Synchronization

/// How far a transfer is, said every few seconds.
final class TransferProgress: Sendable {
    private struct State {
        var total: Int?
        var done = 0
        var begun = ContinuousClock.now
        var said = ContinuousClock.now
    }
    private let state = Mutex(State())
    private let verb: String
    private let interval: Duration
    private let say: @Sendable (String) -> Void

    /// `verb`: "copied", "exported", ...
    init(_ verb: String, every interval: Duration = .seconds(5), say: @escaping @Sendable (String) -> Void) {
        self.verb = verb
        self.interval = interval
        self.say = say
    }

    /// `total` is `nil` where nobody knows it.
    func begin(_ total: Int?) { state.withLock { $0 = State(total: total) } }

    func advance(by count: Int) {
        let line = state.withLock { state -> String? in
            state.done += count
            let now = ContinuousClock.now
            guard now - state.said >= interval else { return nil }
            state.said = now
            return text(state, now)
        }
        if let line { say(line) }
    }

    private func text(_ state: State, _ now: ContinuousClock.Instant) -> String {
        let seconds = (now - state.begun) / .seconds(1)
        let rate = Int(Double(state.done) / max(seconds, 0.001))
        guard let total = state.total, total > 0 else { return "\(verb) \(state.done) points, \(rate) a second" }
        return "\(verb) \(state.done) of \(total) points (\(min(100, state.done * 100 / total)) %), \(rate) a second"
    }
}
