import Datasources
import FastJSON
import Foundation
import HTTPServer
import ServiceClients
import ServiceRuntime
import SyncJobs
import WireProtocol

/// `/api/sync`: SPEC.md section 2.3.
struct SyncRoutes: Sendable {
    let datasources: DatasourceStore
    let jobs: SyncJobStore
    let starter: SyncStarter
    let supervisor: Supervisor
    /// Units: how often a stream of events looks for news.
    var eventInterval: Duration = .milliseconds(500)

    func add(to router: inout Router) {
        router.on("POST", "/api/sync/full/:datasourceId") { try await start(.full, $0) }
        router.on("POST", "/api/sync/incremental/:datasourceId") { try await start(.incremental, $0) }
        router.on("GET", "/api/sync/jobs") { try await list($0) }
        router.on("GET", "/api/sync/jobs/:id") { .json(.object(try await job($0).json)) }
        router.on("POST", "/api/sync/jobs/:id/cancel") { request in
            let reason = try CancelBody(request.body.isEmpty ? [:] : request.json()).reason
            let job = try await jobs.cancel(id: id(request), reason: reason ?? "cancelled by a user")
            await starter.hint(job)
            return .json(.object(job.json))
        }
        router.on("POST", "/api/sync/jobs/:id/resume") { request in
            let job = try await job(request)
            // Else its batches would bring back points that nobody keeps in step any more.
            guard try await datasources.datasource(id: job.datasourceID) != nil else {
                throw Problem.conflict("the datasource of job \(job.id) was deleted: there is nothing to resume")
            }
            let resumed = try await starter.resume(id: job.id)
            supervisor.wake()
            return .json(.object(resumed.json))
        }
        router.on("POST", "/api/sync/jobs/:id/reconcile") { request in
            .json(.object(try await jobs.reconcile(id: id(request)).json))
        }
        router.on("GET", "/api/sync/jobs/:id/events") { try await events($0) }
        router.on("GET", "/api/sync/errors/:jobId") { try await errors($0) }
        router.on("POST", "/api/sync/errors/:jobId/retry") { try await retry($0) }
    }

    private func id(_ request: HTTPRequest) throws(Problem) -> String {
        let id = request.parameters["id"] ?? request.parameters["jobId"] ?? ""
        guard UUID(uuidString: id) != nil else { throw .notFound("there is no job \(id)") }
        return id.lowercased()
    }

    private func job(_ request: HTTPRequest) async throws -> SyncJob {
        let id = try id(request)
        guard let job = try await jobs.job(id: id) else { throw SyncJobsError.unknownJob(id: id) }
        return job
    }

    private func start(_ kind: SyncJob.Kind, _ request: HTTPRequest) async throws -> HTTPResponse {
        let options = try SyncOptions(body: request.body.isEmpty ? [:] : request.json())
        let id = request.parameters["datasourceId"] ?? ""
        guard let datasource = try await datasources.datasource(id: id) else { throw DatasourcesError.notFound(id: id) }
        let started = try await starter.start(datasource, kind: kind, options: options, trace: request.trace)
        var body = started.job.json
        if !started.beside.isEmpty { body["otherVersions"] = .array(started.beside.map { .object($0.json) }) }
        return .json(.object(body), status: 202, headers: ["Location": "/api/sync/jobs/\(started.job.id)"])
    }

    private func list(_ request: HTTPRequest) async throws -> HTTPResponse {
        let page = try Page(request)
        func choice<Value: RawRepresentable & CaseIterable>(_ name: String, _: Value.Type) throws(Problem) -> Value?
        where Value.RawValue == String {
            guard let text = request.query(name) else { return nil }
            if let value = Value(rawValue: text) { return value }
            throw .badRequest(field: name, "must be one of \(Value.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        let datasourceID = request.query("datasourceId")
        if let datasourceID, UUID(uuidString: datasourceID) == nil {
            throw Problem.badRequest(field: "datasourceId", "must be a UUID")
        }
        let (items, total) = try await jobs.jobs(
            status: choice("status", SyncJob.Status.self), type: choice("type", SyncJob.Kind.self),
            datasourceID: datasourceID, limit: page.limit, offset: page.offset)
        return page.answer(items.map { .object($0.json) }, total: total)
    }

    private func errors(_ request: HTTPRequest) async throws -> HTTPResponse {
        let page = try Page(request)
        let job = try await job(request)
        let (items, total) = try await jobs.errors(jobID: job.id, limit: page.limit, offset: page.offset)
        return page.answer(items.map { .object($0.json) }, total: total)
    }

    /// Reads the records of a job's unresolved errors again, in a job of its own beside whatever runs.
    private func retry(_ request: HTTPRequest) async throws -> HTTPResponse {
        let failed = try await job(request)
        guard !failed.status.isActive else {
            throw Problem.conflict("job \(failed.id) is \(failed.status.rawValue): retry its errors when it has ended")
        }
        let ids = try RetryBody(request.body.isEmpty ? [:] : request.json()).ids
        guard let datasource = try await datasources.datasource(id: failed.datasourceID) else {
            throw DatasourcesError.notFound(id: failed.datasourceID)
        }
        let keys = try await jobs.errorsToRetry(jobID: failed.id, ids: ids)
        guard !keys.isEmpty else {
            throw Problem.conflict("job \(failed.id) has no unresolved error with a record to read again")
        }
        let options = SyncOptions(batchSize: failed.options.batchSize, force: true, codes: keys, retryOf: failed.id)
        let job = try await starter.retry(failed, of: datasource, options: options, trace: request.trace)
        return .json(.object(job.json), status: 202, headers: ["Location": "/api/sync/jobs/\(job.id)"])
    }

    /// One `progress` event for each change, then `end`. The ids count up within a stream; a new stream begins with what is now.
    private func events(_ request: HTTPRequest) async throws -> HTTPResponse {
        let first = try await job(request)
        return .events { writer in
            var number = 0
            var job = first
            var sent: JSONObject?
            while true {
                let now = job.json
                if now != sent {
                    number += 1
                    try await writer.send(id: String(number), event: "progress", data: JSONValue.object(now).serialized)
                    sent = now
                }
                guard job.status.isActive else { break }
                try await Task.sleep(for: eventInterval)
                guard let next = try await jobs.job(id: first.id) else { break }
                job = next
            }
            try await writer.send(id: String(number + 1), event: "end", data: JSONValue.object(job.json).serialized)
        }
    }
}

/// `{"reason": "..."}`, or nothing.
struct CancelBody: Sendable {
    static let maximumLength = 1000
    var reason: String?

    init(_ body: JSONValue) throws(Problem) {
        guard let members = body.object else { throw .badRequest("the body must be a JSON object") }
        if let other = members.names.first(where: { $0 != "reason" }) {
            throw .badRequest(field: other, "is unknown here: {reason?}")
        }
        guard let value = members["reason"], !value.isNull else { return }
        guard let text = value.string else { throw .badRequest(field: "reason", "must be a string, not \(value.kind)") }
        guard text.count <= Self.maximumLength else {
            throw .badRequest(field: "reason", "must have at most \(Self.maximumLength) characters")
        }
        reason = text.isEmpty ? nil : text
    }
}

/// `{"ids": [...]}`: the errors to retry; all unresolved ones without.
private struct RetryBody {
    let ids: [String]?

    init(_ body: JSONValue) throws(Problem) {
        guard let members = body.object else { throw .badRequest("the body must be a JSON object") }
        for name in members.names where name != "ids" { throw .badRequest(field: name, "is not a member of a retry") }
        guard let given = members["ids"], !given.isNull else {
            ids = nil
            return
        }
        guard let list = given.array, !list.isEmpty else {
            throw .badRequest(field: "ids", "must be a list of error ids")
        }
        var found: [String] = []
        for (index, item) in list.enumerated() {
            guard let id = item.string, UUID(uuidString: id) != nil else {
                throw .badRequest(field: "ids[\(index)]", "must be the id of an error")
            }
            found.append(id)
        }
        ids = found
    }
}

extension SyncJob {
    /// As the sync API answers it.
    var json: JSONObject {
        var object = JSONObject()
        object["id"] = .string(id)
        object["datasourceId"] = .string(datasourceID)
        let (name, version) = VectorCollection.parts(ofPhysical: collection)
        object["collection"] = .string(name)
        object["collectionVersion"] = JSONValue(version)
        object["type"] = .string(type.rawValue)
        object["status"] = .string(status.rawValue)
        object["totalRecords"] = .integer(totalRecords)
        object["processedRecords"] = .integer(processed)
        object["successfulRecords"] = .integer(ok)
        object["skippedRecords"] = .integer(skipped)
        object["failedRecords"] = .integer(failed)
        object["deletedRecords"] = .integer(deleted)
        object["epoch"] = JSONValue(epoch)
        object["startedAt"] = JSONValue(startedAt?.text)
        object["completedAt"] = JSONValue(completedAt?.text)
        object["heartbeatAt"] = JSONValue(heartbeatAt?.text)
        object["errorMessage"] = JSONValue(errorMessage)
        object["metadata"] = .object(metadata)
        object["options"] = .object(options.json)
        if options.dryRun { object["estimate"] = estimate }
        object["createdAt"] = .string(createdAt.text)
        return object
    }

    /// What the sync that a dry run stands for would embed, and what that would cost with each provider of the embedder. Tokens are
    /// guessed; what the cache has is not known beforehand.
    private var estimate: JSONValue {
        let embed = metadata["stats"]?["stages"]?["embed"]
        let tokens = embed?["billedTokens"]?.integer ?? 0
        let providers = (metadata["prices"]?.array ?? []).map { price -> JSONValue in
            let cost = (price["costPerMillionTokens"]?.double ?? 0) * Double(tokens) / 1e6
            return [
                "provider": price["provider"] ?? .null, "model": price["model"] ?? .null,
                "isCollections": .bool(price["provider"]?.string == space.provider), "cost": .number(cost),
            ]
        }
        return [
            "embeddings": embed?["requested"] ?? 0, "tokens": .integer(tokens), "providers": .array(providers),
        ]
    }
}

extension SyncError {
    /// As the sync API answers it.
    var json: JSONObject {
        var object = JSONObject()
        object["id"] = .string(id)
        object["syncJobId"] = .string(syncJobID)
        object["recordIdentifier"] = .string(recordIdentifier)
        object["errorType"] = .string(errorType)
        object["errorMessage"] = .string(errorMessage)
        object["recordData"] = recordData.flatMap { try? JSONReader.parse($0) } ?? .null
        object["retryCount"] = JSONValue(retryCount)
        object["resolved"] = .bool(resolved)
        object["createdAt"] = .string(createdAt.text)
        return object
    }
}

extension SyncOptions {
    /// The body of a sync request.
    init(body: JSONValue) throws(Problem) {
        guard let members = body.object else { throw .badRequest("the body must be a JSON object") }
        var errors: [FieldError] = []
        for name in members.names where !["batchSize", "force", "dryRun", "allowMassDelete"].contains(name) {
            errors.append(FieldError(field: name, message: "is not an option of a sync"))
        }
        func flag(_ name: String) -> Bool {
            guard let value = members[name], !value.isNull else { return false }
            if let flag = value.bool { return flag }
            errors.append(FieldError(field: name, message: "must be true or false"))
            return false
        }
        var size = 50
        if let value = members["batchSize"], !value.isNull {
            if let number = value.integer, (1...1000).contains(number) {
                size = Int(number)
            } else {
                errors.append(FieldError(field: "batchSize", message: "must be a whole number from 1 to 1000"))
            }
        }
        self.init(
            batchSize: size, force: flag("force"), dryRun: flag("dryRun"), allowMassDelete: flag("allowMassDelete"))
        if !errors.isEmpty { throw .badRequest("the options are not valid", errors: errors) }
    }

    var json: JSONObject {
        [
            "batchSize": JSONValue(batchSize), "force": .bool(force), "dryRun": .bool(dryRun),
            "allowMassDelete": .bool(allowMassDelete),
        ]
    }
}
