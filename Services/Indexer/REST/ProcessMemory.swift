import Foundation

/// What the system counts for this process; there is no allocator that could tell more.
enum ProcessMemory {
    /// Units: bytes. `text` and `data` are in `virtual`.
    struct Counts {
        var virtual = 0
        var resident = 0
        var data = 0
    }

    static var counts: Counts {
        // Pages: size, resident, shared, text, lib, data, dt.
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else { return Counts() }
        let pages = text.split(separator: " ").compactMap { Int($0) }
        guard pages.count > 5 else { return Counts() }
        let size = sysconf(Int32(_SC_PAGESIZE))
        return Counts(virtual: pages[0] * size, resident: pages[1] * size, data: pages[5] * size)
    }

    /// Of what the machine has, or the control group if it may use less; `nil` where the system does not tell.
    static var residentPercent: Int? {
        let machine = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
        let group = (try? String(contentsOfFile: "/sys/fs/cgroup/memory.max", encoding: .utf8)).flatMap {
            Int($0.filter { !$0.isWhitespace })
        }
        let available = min(machine, group ?? machine)
        return available > 0 ? counts.resident * 100 / available : nil
    }
}
