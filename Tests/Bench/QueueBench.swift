import Foundation
import Redis
import ServiceRuntime
import WireProtocol
import WorkQueue

/// `queue-bench REDIS_URL MESSAGES`: fills one list, then claims by 64 and acknowledges until it is empty. Prints messages a second.
@main
enum QueueBench {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count == 3, let total = Int(arguments[2]) else { fatalError("queue-bench REDIS_URL MESSAGES") }
        let log = Log(service: "queue-bench", level: .error, format: .text)
        let metrics = Metrics()
        let redis = RedisConnection(url: arguments[1], log: log)
        let work = WorkQueue(redis: redis, metrics: metrics, log: log, limits: QueueLimits(messages: total))
        let example = WorkMessage.example
        for start in stride(from: 0, to: total, by: 1000) {
            let messages = (start..<min(start + 1000, total)).map { number in
                var message = example
                message.batchID = Int64(number + 1)
                return (message: message, body: [UInt8]?.none)
            }
            try await work.push(messages, to: .index)
        }

        let consumers = (0..<2).map { _ in
            QueueConsumer(queue: .index, service: "queue-bench", redisURL: arguments[1], metrics: metrics, log: log)
        }
        for consumer in consumers { await consumer.start() }
        let began = ContinuousClock.now
        let done = try await withThrowingTaskGroup(of: Int.self) { group in
            for consumer in consumers {
                for _ in 0..<4 {
                    group.addTask {
                        var count = 0
                        while true {
                            let deliveries = try await consumer.claim(upTo: 64, wait: .milliseconds(200))
                            if deliveries.isEmpty { return count }
                            await consumer.acknowledge(deliveries)
                            count += deliveries.count
                        }
                    }
                }
            }
            var sum = 0
            while let count = try await group.next() { sum += count }
            return sum
        }
        let elapsed = ContinuousClock.now - began - .milliseconds(200)  // the last, empty claim
        let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
        for consumer in consumers { await consumer.stop() }
        print("\(done) \(Int(Double(done) / seconds))")
    }
}
