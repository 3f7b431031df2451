import ServiceRuntime
import Synchronization
import WireProtocol

/// The providers of this process and their lanes.
final class EmbeddingService: Sendable {
    /// The first is the default.
    let gates: [ProviderGate]
    private let cache: EmbeddingCache
    private let failpoints: Failpoints
    private let metrics: Metrics
    private struct LaneKey: Hashable {
        var provider: String
        var model: String
        var dimensions: Int
        var task: EmbeddingTask
    }
    private let lanes = Mutex<[LaneKey: EmbeddingLane]>([:])
    /// Callers choose models and dimensions freely: without a limit they would grow the process.
    private static let maximumLanes = 64

    init(gates: [ProviderGate], cache: EmbeddingCache, failpoints: Failpoints = .none, metrics: Metrics) {
        precondition(!gates.isEmpty, "an embedder without a provider")
        self.gates = gates
        self.cache = cache
        self.failpoints = failpoints
        self.metrics = metrics
    }

    func gate(_ name: String?) -> ProviderGate? {
        name.map { name in gates.first { $0.description.name == name } } ?? gates[0]
    }

    /// The lane of a job's batches: provider, model and dimensions must be exactly those of its space.
    func lane(_ space: EmbeddingSpace, task: EmbeddingTask) throws(EmbeddingError) -> EmbeddingLane {
        guard let gate = gate(space.provider) else {
            throw EmbeddingError(.spaceUnavailable, "this embedder has no provider \"\(space.provider)\"")
        }
        guard space.taskScheme == gate.description.taskScheme else {
            throw EmbeddingError(
                .spaceUnavailable,
                "\(space.provider) has the task scheme \(gate.description.taskScheme), not \(space.taskScheme)")
        }
        return try lane(gate, model: space.model, dimensions: space.dimensions, task: task)
    }

    func lane(
        _ gate: ProviderGate, model: String?, dimensions: Int?, task: EmbeddingTask
    ) throws(EmbeddingError) -> EmbeddingLane {
        let description = gate.description
        let (model, dimensions) = (model ?? description.model, dimensions ?? description.dimensions)
        guard model == description.model || description.takesOtherModels else {
            throw EmbeddingError(
                .spaceUnavailable, "\(description.name) has the model \(description.model), not \(model)")
        }
        guard dimensions == description.dimensions || description.takesOtherDimensions else {
            throw EmbeddingError(
                .spaceUnavailable, "\(description.model) gives \(description.dimensions) dimensions, not \(dimensions)")
        }
        let key = LaneKey(
            provider: description.name, model: model, dimensions: dimensions,
            task: description.taskScheme == "none" ? .document : task)
        let lane = lanes.withLock { lanes -> EmbeddingLane? in
            if let lane = lanes[key] { return lane }
            guard lanes.count < Self.maximumLanes else { return nil }
            let lane = EmbeddingLane(
                gate: gate, model: model, dimensions: dimensions, task: key.task, cache: cache, failpoints: failpoints,
                metrics: metrics)
            lanes[key] = lane
            return lane
        }
        guard let lane else { throw EmbeddingError(.spaceUnavailable, "too many models and dimensions in use at once") }
        return lane
    }
}

extension ProviderDescription {
    var space: EmbeddingSpace {
        EmbeddingSpace(provider: name, model: model, dimensions: dimensions, taskScheme: taskScheme)
    }
}
