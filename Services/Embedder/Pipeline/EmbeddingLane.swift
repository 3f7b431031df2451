import ServiceRuntime
import Synchronization

/// All texts for one model, task and number of dimensions: looked up in the cache, put together into full provider batches
/// across whoever asked, and answered. A text that is asked for again while it is under way is embedded once.
final class EmbeddingLane: Sendable {
    /// Whose work a text is; asked before each call to the provider.
    typealias IsWanted = @Sendable () async -> Bool

    let gate: ProviderGate
    let model: String
    let dimensions: Int
    let task: EmbeddingTask
    private let cache: EmbeddingCache
    private let failpoints: Failpoints
    private let metrics: Metrics
    private let prefix: [UInt8]
    private var limits: ProviderLimits { gate.description.limits }

    private struct Flight {
        var text: String
        var waiters: [(request: EmbeddingRequest, index: Int)]
    }
    private struct State {
        var flights: [CacheKey: Flight] = [:]
        /// Looked up and not cached, in order.
        var pending: [CacheKey] = []
        var urgent: [CacheKey] = []
        var running = 0
        var lingering = false
        /// The part-filled batch has waited long enough.
        var isDue = false
    }
    private let state = Mutex(State())

    init(
        gate: ProviderGate, model: String, dimensions: Int, task: EmbeddingTask, cache: EmbeddingCache,
        failpoints: Failpoints = .none, metrics: Metrics
    ) {
        self.gate = gate
        self.model = model
        self.dimensions = dimensions
        self.task = task
        self.cache = cache
        self.failpoints = failpoints
        self.metrics = metrics
        let scheme = gate.description.taskScheme
        prefix = Array(
            "emb:\(gate.description.name)|\(model)|\(dimensions)|\(scheme == "none" ? "any" : task.rawValue)|".utf8)
    }

    func embed(_ texts: [String], isUrgent: Bool = false, isWanted: @escaping IsWanted = { true }) async -> [Embedding]
    {
        let request = EmbeddingRequest(count: texts.count, isUrgent: isUrgent, isWanted: isWanted)
        let keys = texts.map(CacheKey.init(text:))
        let new = state.withLock { state in
            var new: [CacheKey] = []
            for (index, key) in keys.enumerated() {
                if state.flights[key]?.waiters.append((request, index)) == nil {
                    state.flights[key] = Flight(text: texts[index], waiters: [(request, index)])
                    new.append(key)
                }
            }
            return new
        }
        let found = await cache.vectors(new, prefix: prefix, dimensions: dimensions) {
            if isUrgent { false } else { await isWanted() }
        }
        var missing: [CacheKey] = []
        for (key, vector) in zip(new, found) {
            if let vector { settle(key, .success(vector), isCached: true) } else { missing.append(key) }
        }
        metrics.add(
            "suite_embedding_cache_hits_total", Double(new.count - missing.count), help: "Texts found in the cache")
        metrics.add("suite_embedding_cache_misses_total", Double(missing.count), help: "Texts not found in the cache")
        enqueue(missing, isUrgent: isUrgent)
        await withCheckedContinuation { continuation in
            let isDone = request.state.withLock { state in
                if state.remaining > 0 { state.waiting = continuation }
                return state.remaining == 0
            }
            if isDone { continuation.resume() }
        }
        return request.state.withLock { $0.outcomes.compactMap { $0 } }
    }

    private func settle(
        _ key: CacheKey, _ result: Result<[Float], EmbeddingError>, isCached: Bool = false, tokens: Int = 0
    ) {
        let flight = state.withLock { $0.flights.removeValue(forKey: key) }
        for (position, waiter) in (flight?.waiters ?? []).enumerated() {
            waiter.request.settle(
                waiter.index,
                Embedding(result: result, isCached: isCached || position > 0, tokens: position == 0 ? tokens : 0))
        }
    }

    /// How many wait for this text.
    func waiters(of text: String) -> Int { state.withLock { $0.flights[CacheKey(text: text)]?.waiters.count ?? 0 } }

    // MARK: - Batches

    private func enqueue(_ keys: [CacheKey], isUrgent: Bool) {
        guard !keys.isEmpty else { return }
        let startsToLinger = state.withLock { state in
            if isUrgent { state.urgent += keys } else { state.pending += keys }
            guard !state.pending.isEmpty, !state.lingering else { return false }
            state.lingering = true
            return true
        }
        startBatches()
        // Outlives the caller that happens to start it, as do the batches: what waits belongs to several callers.
        if startsToLinger {
            Task {
                try? await Task.sleep(for: limits.linger)
                state.withLock { state in
                    state.lingering = false
                    state.isDue = !state.pending.isEmpty
                }
                startBatches()
            }
        }
    }

    private func startBatches() {
        while let (batch, isUrgent) = takeBatch() {
            Task {
                await run(batch, isUrgent: isUrgent)
                if !isUrgent { state.withLock { $0.running -= 1 } }
                startBatches()
            }
        }
    }

    /// What is urgent goes at once; the rest when a batch is full or has waited, and a slot is free.
    private func takeBatch() -> (keys: [CacheKey], isUrgent: Bool)? {
        state.withLock { state in
            if !state.urgent.isEmpty { return (cut(&state.urgent, state.flights), true) }
            guard state.running < limits.concurrency, !state.pending.isEmpty,
                state.isDue || state.pending.count >= limits.batchSize
            else { return nil }
            state.running += 1
            let batch = cut(&state.pending, state.flights)
            if state.pending.isEmpty { state.isDue = false }
            return (batch, false)
        }
    }

    private func cut(_ queue: inout [CacheKey], _ flights: [CacheKey: Flight]) -> [CacheKey] {
        var (count, tokens) = (0, 0)
        for key in queue.prefix(limits.batchSize) {
            tokens += flights[key].map { estimatedTokens(of: $0.text) } ?? 0
            if tokens > limits.batchTokens && count > 0 { break }
            count += 1
        }
        defer { queue.removeFirst(count) }
        return Array(queue.prefix(count))
    }

    private func run(_ batch: [CacheKey], isUrgent: Bool) async {
        let keys = await dropUnwanted(batch)
        let texts = state.withLock { state in keys.map { state.flights[$0]?.text ?? "" } }
        guard !texts.isEmpty else { return }
        let isolation = Isolation { [self] part throws(EmbeddingError) in
            try await gate.embed(
                EmbeddingCall(texts: Array(part), model: model, dimensions: dimensions, task: task, isUrgent: isUrgent),
                isWanted: { await self.isAnyWanted(keys) })
        }
        let outcome = await isolation.embed(texts)
        failpoints.reach("embedder.after-provider")
        let vectors = zip(keys, outcome.results).compactMap { key, result in
            (try? result.get()).map { (key: key, vector: $0) }
        }
        await cache.store(vectors, prefix: prefix)  // before anybody sees them: a crash from here on costs nothing
        failpoints.reach("embedder.after-cache")
        let share = outcome.tokens / max(1, keys.count)
        for (index, key) in keys.enumerated() {
            settle(
                key, outcome.results[index], tokens: index == 0 ? outcome.tokens - share * (keys.count - 1) : share)
        }
    }

    // MARK: - Work of jobs that are gone

    private func requests(_ keys: [CacheKey]) -> [EmbeddingRequest] {
        var seen = Set<ObjectIdentifier>()
        return state.withLock { state in
            keys.flatMap { state.flights[$0]?.waiters.map(\.request) ?? [] }.filter {
                seen.insert(ObjectIdentifier($0)).inserted
            }
        }
    }

    private func isAnyWanted(_ keys: [CacheKey]) async -> Bool {
        for request in requests(keys) where await request.isWanted() { return true }
        return false
    }

    /// Settles what nobody wants any more; answers the rest.
    private func dropUnwanted(_ keys: [CacheKey]) async -> [CacheKey] {
        var stale = Set<ObjectIdentifier>()
        for request in requests(keys) where await !request.isWanted() { stale.insert(ObjectIdentifier(request)) }
        if stale.isEmpty { return keys }
        let unwanted = state.withLock { state in
            Set(
                keys.filter {
                    state.flights[$0]?.waiters.allSatisfy { stale.contains(ObjectIdentifier($0.request)) } ?? true
                })
        }
        for key in unwanted { settle(key, .failure(EmbeddingError(.superseded, "the job has been replaced or ended"))) }
        return keys.filter { !unwanted.contains($0) }
    }
}
