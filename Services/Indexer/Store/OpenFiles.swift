import Foundation

/// How many files this process may have open: a collection holds five or so, and the usual limit is good for two hundred of them.
enum OpenFiles {
    /// As many as the system lets it have.
    static func allowMost() {
        var limit = rlimit()
        guard getrlimit(.init(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = setrlimit(.init(RLIMIT_NOFILE.rawValue), &limit)
    }
}
