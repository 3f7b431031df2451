import CCurl
import Foundation
import ServiceRuntime
import Synchronization

/// One thread that runs all transfers on one curl multi handle, so that connections are shared and reused.
final class TransferThread: Sendable {
    struct Order: Sendable {
        var id: UInt64
        var request: ClientRequest
        /// Where the body goes as it comes; `nil` collects it.
        var body: ByteChannel?
        /// With the whole answer, or with its head where the body goes elsewhere.
        var complete: @Sendable (Result<ClientResponse, HTTPClientError>) -> Void
    }
    private struct State {
        var orders: [Order] = []
        var cancelled: [UInt64] = []
        var resumed: [UInt64] = []
        var closed = false
        var multi: MultiHandle?
    }
    /// curl documents `curl_multi_wakeup`, and only it, as callable from any thread; the lock keeps the handle alive meanwhile.
    private struct MultiHandle: @unchecked Sendable { let pointer: UnsafeMutableRawPointer }
    private let state = Mutex(State())

    static let globalInitialization: Void = { _ = curl_global_init(Int(CURL_GLOBAL_DEFAULT)) }()

    func start(maximumConnectionsPerHost: Int) {
        _ = Self.globalInitialization
        guard let multi = curl_multi_init() else { return close() }
        curl_multi_set_long(multi, CURLMOPT_MAX_HOST_CONNECTIONS, maximumConnectionsPerHost)
        curl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, maximumConnectionsPerHost * 4)
        let handle = MultiHandle(pointer: multi)
        state.withLock { $0.multi = handle }
        let thread = Thread { self.work(handle) }
        thread.name = "http-client"
        thread.stackSize = 1 << 20
        thread.start()
    }

    func submit(_ order: Order) {
        let accepted = wake { state in
            if !state.closed { state.orders.append(order) }
            return !state.closed
        }
        if !accepted { order.complete(.failure(.closed)) }
    }
    func cancel(_ id: UInt64) { wake { $0.cancelled.append(id) } }
    /// A paused transfer has room, or bytes, again.
    func resume(_ id: UInt64) { wake { $0.resumed.append(id) } }
    func close() { wake { $0.closed = true } }

    private func wake<Value: Sendable>(_ change: (inout sending State) -> Value) -> Value {
        state.withLock { state in
            defer { if let multi = state.multi { curl_multi_wakeup(multi.pointer) } }
            return change(&state)
        }
    }

    private func work(_ handle: MultiHandle) {
        let multi = handle.pointer
        var active: [UInt64: Transfer] = [:]
        var idle: [UnsafeMutableRawPointer] = []
        while true {
            let (orders, cancelled, resumed, closed) = state.withLock { state in
                defer {
                    state.orders = []
                    state.cancelled = []
                    state.resumed = []
                }
                return (state.orders, state.cancelled, state.resumed, state.closed)
            }
            for order in orders { begin(order, on: multi, &active, &idle) }
            for id in cancelled { end(active[id], on: multi, &active, &idle) { $0.fail(.cancelled) } }
            if closed { break }
            for id in resumed { if let transfer = active[id] { curl_easy_pause(transfer.handle, CURLPAUSE_CONT) } }
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
            var queued: Int32 = 0
            while let message = curl_multi_info_read(multi, &queued) {
                guard message.pointee.msg == CURLMSG_DONE, let done = message.pointee.easy_handle else { continue }
                let code = message.pointee.data.result
                end(active.values.first { $0.handle == done }, on: multi, &active, &idle) { $0.finish(code) }
            }
            curl_multi_poll(multi, nil, 0, 10_000, nil)
        }
        for transfer in Array(active.values) { end(transfer, on: multi, &active, &idle) { $0.fail(.closed) } }
        idle.forEach { curl_easy_cleanup($0) }
        state.withLock { $0.multi = nil }
        curl_multi_cleanup(multi)
    }

    private func begin(
        _ order: Order, on multi: UnsafeMutableRawPointer, _ active: inout [UInt64: Transfer],
        _ idle: inout [UnsafeMutableRawPointer]
    ) {
        guard let handle = idle.popLast() ?? curl_easy_init() else {
            return order.complete(.failure(.transport("out of memory")))
        }
        let transfer = Transfer(order, handle: handle)
        order.body?.onChange { [weak self] in self?.resume(order.id) }
        order.request.upload?.channel.onChange { [weak self] in self?.resume(order.id) }
        do throws(HTTPClientError) {
            try transfer.prepare()
            active[order.id] = transfer
            curl_multi_add_handle(multi, handle)
        } catch {
            curl_easy_reset(handle)
            idle.append(handle)
            transfer.fail(error)
        }
    }

    private func end(
        _ transfer: Transfer?, on multi: UnsafeMutableRawPointer, _ active: inout [UInt64: Transfer],
        _ idle: inout [UnsafeMutableRawPointer], _ report: (Transfer) -> Void
    ) {
        guard let transfer else { return }
        report(transfer)
        curl_multi_remove_handle(multi, transfer.handle)
        active[transfer.id] = nil
        if idle.count < 64 {
            curl_easy_reset(transfer.handle)
            idle.append(transfer.handle)
        } else {
            curl_easy_cleanup(transfer.handle)
        }
    }
}
