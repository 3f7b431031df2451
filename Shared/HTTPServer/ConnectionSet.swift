import CEpoll
import ServiceRuntime
import Synchronization

/// The connections of one loop, and the door through which they come.
///
/// `@unchecked Sendable`: touched by its loop's thread alone, apart from `init`; others go through `loop.execute`.
final class ConnectionSet: EventLoopClient, @unchecked Sendable {
    private struct Place {
        var connection: Connection?
        /// Counts the connections that had this place, so that an event for a closed one is known as such.
        var generation: UInt32 = 0
    }
    let loop: EventLoop
    let context: ServerContext
    let times: LoopLimits
    var random = FastRandom()
    /// Bytes on their way from a socket to a connection.
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
    /// `Date: ...` and the line's end; renewed each second.
    private(set) var dateLine: [UInt8] = []
    private var dateSetAt: UInt64 = 0

    private let listener: Int32
    private var places: [Place] = []
    private var free: [Int] = []
    private var open = 0
    private var isAccepting = true
    /// Closed before any connection is, and for good.
    private var doorIsOpen = true
    /// Handlers that have not returned.
    var running = 0

    enum Stage { case serving, draining, cancelled, over }
    private(set) var stage = Stage.serving
    private var stageEnds: UInt64 = 0
    private let drained: Shutdown

    /// `drained` is requested when a drain is over.
    init(loop: EventLoop, listener: Int32, context: ServerContext, drained: Shutdown) throws(HTTPServerError) {
        self.loop = loop
        self.listener = listener
        self.context = context
        self.drained = drained
        times = LoopLimits(context.limits)
        renewDate()
        guard watchListener() else { throw .system("cannot watch the listening socket") }
    }

    private func watchListener() -> Bool {
        loop.watch(listener, epoll_readable | epoll_exclusive, EventLoop.listenerID)
    }

    deinit { scratch.deallocate() }

    var isDraining: Bool { stage != .serving }
    var isFinished: Bool { stage == .over && running == 0 }

    func ready(_ id: UInt64, _ events: UInt32) {
        if id == EventLoop.listenerID { return accept() }
        let index = Int(id & 0xFFFF_FFFF)
        guard places[index].generation == UInt32(id >> 32), let connection = places[index].connection else { return }
        connection.ready(events)
    }

    func tick() {
        if loop.now - dateSetAt >= 500 { renewDate() }
        if !isAccepting, doorIsOpen { isAccepting = watchListener() }
        for index in places.indices { places[index].connection.map { $0.tick(loop.now) } }
        if isDraining { advanceDrain() }
    }

    func removed(_ id: UInt64) {
        let index = Int(id & 0xFFFF_FFFF)
        places[index].connection = nil
        places[index].generation &+= 1
        free.append(index)
        open -= 1
        context.openConnections.subtract(1, ordering: .relaxed)
        if isDraining { advanceDrain() }
    }

    // MARK: - The door

    private func accept() {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { address in
            while doorIsOpen {
                let file = socket_accept(listener, address.baseAddress, 64)
                if file < 0 { return acceptFailed(-file) }
                add(file, from: String(cString: address.baseAddress.unsafelyUnwrapped))
            }
        }
    }

    private func acceptFailed(_ error: Int32) {
        switch error {
        case 11: return  // EAGAIN: nobody waits
        case 103, 4: accept()  // ECONNABORTED, EINTR: the next one
        default:
            // No file descriptors left: the tick tries again; the event would come back at once.
            loop.unwatch(listener)
            isAccepting = false
            context.log.warning("http.accept_failed", ["errno": .integer(Int64(error))])
        }
    }

    private func add(_ file: Int32, from address: String) {
        let index = free.popLast() ?? places.count
        if index == places.count { places.append(Place()) }
        let id = UInt64(places[index].generation) << 32 | UInt64(index)
        let connection = Connection(file: file, id: id, remoteAddress: address, owner: self)
        guard loop.watch(file, Connection.reading, id) else {
            free.append(index)
            socket_close(file)
            return
        }
        places[index].connection = connection
        open += 1
        let total = context.openConnections.add(1, ordering: .relaxed).newValue
        if total > context.limits.connections { connection.refuse() }
    }

    // MARK: - Stopping

    /// Takes in those that wait, then watches the listener no more: it may be closed.
    func closeDoor() {
        guard doorIsOpen else { return }
        accept()
        doorIsOpen = false
        if isAccepting { loop.unwatch(listener) }
        isAccepting = false
    }

    /// Closes idle connections; requests in flight have `limits.drain`, then their tasks are cancelled.
    func drain() {
        guard stage == .serving else { return }
        stage = .draining
        stageEnds = loop.now + times.drain
        for place in places { place.connection?.drain() }
        advanceDrain()
    }

    /// Ends the grace now.
    func cancelAll() {
        drain()
        stageEnds = min(stageEnds, loop.now)
        advanceDrain()
    }

    private func advanceDrain() {
        if stage == .draining, open > 0, loop.now >= stageEnds {
            stage = .cancelled
            stageEnds = loop.now + 1000
            for place in places { place.connection?.cancel() }
        }
        if stage == .cancelled, open > 0, loop.now >= stageEnds {
            for place in places { place.connection?.close() }
        }
        if stage != .over, open == 0 {
            stage = .over
            drained.request()
        }
    }

    private func renewDate() {
        dateSetAt = loop.now
        var line = Array("Date: ".utf8)
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { text in
            http_date(text.baseAddress)
            line.append(contentsOf: text.prefix(29).map { UInt8(bitPattern: $0) })
        }
        dateLine = line + [0x0D, 0x0A]
    }
}

/// SplitMix64: for ids that must differ, not for secrets. The system's generator is a system call each time.
struct FastRandom: RandomNumberGenerator {
    private var state = UInt64.random(in: .min ... .max)
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
