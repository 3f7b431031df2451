import Redis
import ServiceRuntime

/// Why the embedder is not as it should be, in `/health`.
private struct NotWell: Error, CustomStringConvertible { var description: String }

extension HealthChecks {
    func add(_ service: EmbeddingService, redis: RedisConnection, cache: RedisConnection) {
        add(redis)
        add(cache, as: "cache", isRequired: false)
        for gate in service.gates {
            add("provider:\(gate.description.name)", isRequired: false) {
                if let reason = gate.description.degraded, gate === service.gates[0] {
                    throw NotWell(description: "degraded: \(reason)")
                }
                if let outage = gate.outage {
                    let seconds = Int((ContinuousClock.now - outage.since).seconds)
                    throw NotWell(description: "failing for \(seconds) s: \(outage.error)")
                }
            }
        }
    }
}
