import Foundation
import Synchronization

/// Named places where a test can cut or hold a process: `FAILPOINT=embedder.after-provider:3:abort` ends the process with
/// SIGKILL when that place is reached for the third time, `pause` stops it with SIGSTOP until it gets SIGCONT.
/// Several are separated by commas. Without the variable a failpoint costs one comparison.
package final class Failpoints: Sendable {
    private enum Action: String { case abort, pause }
    private struct Plan {
        var name: String
        var remaining: Int
        var action: Action
    }
    private let plans: Mutex<[Plan]>
    private let isEmpty: Bool

    package init(_ specification: String?) throws(ConfigurationError) {
        var parsed: [Plan] = []
        for part in (specification ?? "").split(separator: ",") {
            let fields = part.split(separator: ":")
            guard fields.count == 3, let count = Int(fields[1]), count > 0,
                let action = Action(rawValue: String(fields[2]))
            else {
                throw ConfigurationError(problems: [
                    "FAILPOINT must be name:count:abort or name:count:pause, not \"\(part)\""
                ])
            }
            parsed.append(Plan(name: String(fields[0]), remaining: count, action: action))
        }
        isEmpty = parsed.isEmpty
        plans = Mutex(parsed)
    }

    package static let none = Failpoints()
    private init() {
        isEmpty = true
        plans = Mutex([])
    }

    package func reach(_ name: StaticString) {
        if isEmpty { return }
        let name = "\(name)"
        let action = plans.withLock { plans -> Action? in
            guard let index = plans.firstIndex(where: { $0.name == name && $0.remaining > 0 }) else { return nil }
            plans[index].remaining -= 1
            return plans[index].remaining == 0 ? plans[index].action : nil
        }
        switch action {
        case .abort: kill(getpid(), SIGKILL)
        case .pause: kill(getpid(), SIGSTOP)
        case nil: break
        }
    }
}
