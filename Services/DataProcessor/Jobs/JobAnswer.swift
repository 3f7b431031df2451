import WireProtocol

/// A job as `GET /jobs/{job_id}` answers it. In Redis: the state's letter, who runs it (32 characters), then this JSON.
struct JobAnswer: Sendable {
    enum State: String, Sendable, CaseIterable {
        case started, processing, completed, failed
        var isFinal: Bool { self == .completed || self == .failed }
        var letter: UInt8 { rawValue.utf8.first ?? 0 }
    }

    /// What stands before the JSON.
    struct Head: Sendable, Equatable {
        var state: State
        var owner: String
        static let count = 33
        var bytes: [UInt8] { [state.letter] + Array(owner.utf8) }

        init(state: State, owner: String) {
            precondition(owner.utf8.count == Self.count - 1, "an owner has \(Self.count - 1) characters")
            self.state = state
            self.owner = owner
        }

        /// `nil` for an empty value: there is no such job.
        init?(_ stored: some Collection<UInt8>) {
            guard stored.count >= Self.count, let state = State.allCases.first(where: { $0.letter == stored.first })
            else { return nil }
            self.state = state
            owner = String(decoding: stored.dropFirst().prefix(Self.count - 1), as: UTF8.self)
        }
    }

    /// A state without a result.
    static func stored(_ head: Head, jobID: String, message: String, error: String? = nil) -> [UInt8] {
        let json: JSONValue = [
            "job_id": .string(jobID), "status": .string(head.state.rawValue), "message": .string(message), "data": nil,
            "error": JSONValue(error),
        ]
        return head.bytes + json.serializedBytes
    }

    static func failed(owner: String, jobID: String, error: String) -> [UInt8] {
        stored(Head(state: .failed, owner: owner), jobID: jobID, message: "Job failed", error: error)
    }

    /// Throws: when the JSON would be longer than `limit` bytes.
    static func completed(
        _ outcome: Pipeline.Outcome, owner: String, jobID: String, items: Int, operations: Int, limit: Int
    ) throws(JobFailure) -> [UInt8] {
        var message = "Successfully processed \(items) items with \(operations) operations"
        if !outcome.errors.isEmpty { message += "; \(outcome.errors.count) of them failed" }
        var writer = JSONWriter(reserving: 256 * outcome.rows.count + 512)
        writer.raw(Head(state: .completed, owner: owner).bytes)
        writer.raw("{\"job_id\":")
        writer.write(jobID)
        writer.raw(",\"status\":\"completed\",\"message\":")
        writer.write(message)
        writer.raw(",\"data\":{\"processed_items\":")
        writer.write(Int64(items))
        writer.raw(",\"operations_applied\":")
        writer.write(Int64(operations))
        writer.raw(",\"data\":[")
        for (index, row) in outcome.rows.enumerated() {
            if index > 0 { writer.raw(",") }
            writer.write(row)
            if writer.bytes.count > limit { throw JobFailure("the result would be larger than \(limit) bytes") }
        }
        writer.raw("],\"row_errors\":")
        writer.write(.array(outcome.errors.map(\.json)))
        writer.raw("},\"error\":null}")
        return writer.bytes
    }
}
