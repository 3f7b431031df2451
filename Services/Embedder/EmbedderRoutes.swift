import FastJSON
import HTTPServer
import ServiceRuntime
import WireProtocol

/// The whole HTTP surface. `EmbedderDocument` describes it.
struct EmbedderRoutes: Sendable {
    let service: EmbeddingService
    let health: HealthChecks
    let metrics: Metrics
    let configuration: EmbedderConfiguration

    func router(shutdown: Shutdown) -> Router {
        var router = Router()
        router.addOperationalRoutes(service: "embedder", health: health, metrics: metrics, shutdown: shutdown)
        router.requireInternalToken(configuration.service.internalToken)
        router.on("POST", "/embed", body: .buffered(limit: 32 << 20), embed)
        router.on("GET", "/providers") { [service] _ in .json(ProviderList(service).json) }
        router.on("POST", "/extract-text") { _ in
            throw Problem(status: 501, title: "Not Implemented", detail: "no vision provider is configured")
        }
        router.addDocument(EmbedderDocument.json)
        return router
    }

    @Sendable private func embed(_ request: HTTPRequest) async throws -> HTTPResponse {
        let limit = configuration.maximumTexts
        let isSmall = request.body.count <= 64 << 10
        let checked =
            try isSmall
            ? EmbedRequest(request, maximumTexts: limit)
            : await BlockingPool.run { try EmbedRequest(request, maximumTexts: limit) }
        return try await checked.answer(from: service)
    }
}

/// `POST /embed`, checked.
struct EmbedRequest: Sendable {
    private struct Body: Decodable, Sendable {
        var texts: [String]
        var provider: String?
        var model: String?
        var dimensions: Int?
        var task: String?
        var unknown: [String]

        private enum CodingKeys: String, CodingKey, CaseIterable { case texts, provider, model, dimensions, task }

        init(from decoder: any Decoder) throws {
            let members = try decoder.container(keyedBy: CodingKeys.self)
            texts = try members.decode([String].self, forKey: .texts)
            provider = try members.decodeIfPresent(String.self, forKey: .provider)
            model = try members.decodeIfPresent(String.self, forKey: .model)
            dimensions = try members.decodeIfPresent(Int.self, forKey: .dimensions)
            task = try members.decodeIfPresent(String.self, forKey: .task)
            let names = try decoder.container(keyedBy: AnyName.self).allKeys.map(\.stringValue)
            unknown = names.filter { CodingKeys(rawValue: $0) == nil }.sorted()
        }
    }
    private struct AnyName: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
    private let body: Body
    private let task: EmbeddingTask

    init(_ request: HTTPRequest, maximumTexts: Int) throws(Problem) {
        body = try request.decode(Body.self)
        var errors = body.unknown.prefix(20).map {
            FieldError(field: $0, message: "is unknown here: texts, provider, model, dimensions, task")
        }
        if body.texts.isEmpty { errors.append(FieldError(field: "texts", message: "must hold at least one text")) }
        if body.texts.count > maximumTexts {
            errors.append(
                FieldError(field: "texts", message: "must hold at most \(maximumTexts) texts, not \(body.texts.count)"))
        }
        for (index, text) in body.texts.enumerated() where text.allSatisfy(\.isWhitespace) {
            errors.append(FieldError(field: "texts[\(index)]", message: "must not be empty"))
            if errors.count >= 20 { break }
        }
        if let dimensions = body.dimensions, !(1...16_384).contains(dimensions) {
            errors.append(FieldError(field: "dimensions", message: "must be from 1 to 16384"))
        }
        if let model = body.model, model.isEmpty || model.utf8.count > 200 || model.contains("|") {
            errors.append(FieldError(field: "model", message: "must be a model's name"))
        }
        task = body.task.flatMap(EmbeddingTask.init) ?? .document
        if let task = body.task, EmbeddingTask(rawValue: task) == nil {
            errors.append(FieldError(field: "task", message: "must be document or query"))
        }
        guard errors.isEmpty else { throw .badRequest("the request is not valid", errors: errors) }
    }

    func answer(from service: EmbeddingService) async throws -> HTTPResponse {
        guard let gate = service.gate(body.provider) else {
            let names = service.gates.map(\.description.name).joined(separator: ", ")
            throw Problem.badRequest(
                "unknown provider", errors: [FieldError(field: "provider", message: "must be one of \(names)")])
        }
        let lane: EmbeddingLane
        do {
            lane = try service.lane(gate, model: body.model, dimensions: body.dimensions, task: task)
        } catch {
            let field = body.model != nil && body.model != gate.description.model ? "model" : "dimensions"
            throw Problem.badRequest(error.message, errors: [FieldError(field: field, message: error.message)])
        }
        var outcomes = await lane.embed(body.texts, isUrgent: true)
        if outcomes.contains(where: \.isSuperseded) {
            outcomes = await lane.embed(body.texts, isUrgent: true)  // it rode along with a job that has just ended
        }
        return try await BlockingPool.run { [outcomes] in try response(outcomes, lane) }
    }

    private func response(_ outcomes: [Embedding], _ lane: EmbeddingLane) throws(Problem) -> HTTPResponse {
        var refused: [FieldError] = []
        var writer = JSONWriter(reserving: outcomes.count * (lane.dimensions * 13 + 2) + 256)
        writer.raw(#"{"vectors":["#)
        for (index, outcome) in outcomes.enumerated() {
            switch outcome.result {
            case .success(let vector):
                writer.raw(index == 0 ? "[" : ",[")
                for (position, number) in vector.enumerated() {
                    if position > 0 { writer.raw(",") }
                    writer.write(number)
                }
                writer.raw("]")
            case .failure(let error) where error.isTextsAlone:
                refused.append(FieldError(field: "texts[\(index)]", message: error.description))
            case .failure(let error) where error.isPermanent:
                throw Problem.unprocessable("the provider \(lane.gate.description.name) does not serve this: \(error)")
            case .failure(let error):
                throw Problem.unavailable(error.description, retryAfter: error.retryAfter ?? .seconds(5))
            }
        }
        guard refused.isEmpty else {
            throw Problem(
                status: 422, title: "Unprocessable Content", detail: "the provider does not embed some of the texts",
                errors: refused)
        }
        writer.raw(#"],"provider":"#)
        writer.write(lane.gate.description.name)
        writer.raw(#","model":"#)
        writer.write(lane.model)
        writer.raw(#","dimensions":"#)
        writer.write(Int64(lane.dimensions))
        writer.raw(#","cached":"#)
        writer.write(Int64(outcomes.count(where: \.isCached)))
        writer.raw(#","tokens":"#)
        writer.write(Int64(outcomes.reduce(0) { $0 + $1.tokens }))
        if let degraded = lane.gate.description.degraded {
            writer.raw(#","degraded":"#)
            writer.write(degraded)
        }
        writer.raw("}")
        return .bytes(writer.bytes, contentType: "application/json")
    }
}

extension Embedding {
    fileprivate var isSuperseded: Bool {
        if case .failure(let error) = result { error.kind == .superseded } else { false }
    }
}

/// `GET /providers`.
struct ProviderList {
    let json: JSONValue

    init(_ service: EmbeddingService) {
        let providers = service.gates.map { gate -> JSONValue in
            let description = gate.description
            let limits = description.limits
            var provider = JSONObject(unique: [
                ("name", .string(description.name)), ("model", .string(description.model)),
                ("dimensions", JSONValue(description.dimensions)), ("space", .string(description.space.identifier)),
                ("task_scheme", .string(description.taskScheme)), ("default", .bool(gate === service.gates[0])),
                ("status", .string(gate.outage != nil ? "failing" : description.degraded != nil ? "degraded" : "ok")),
                ("batch_size", JSONValue(limits.batchSize)), ("concurrency", JSONValue(limits.concurrency)),
                ("requests_per_minute", limits.requestsPerMinute.map { JSONValue($0) } ?? .null),
                ("tokens_per_minute", limits.tokensPerMinute.map { JSONValue($0) } ?? .null),
                ("cost_per_million_tokens", .number(limits.costPerMillionTokens)),
            ])
            if let reason = description.degraded { provider["degraded"] = .string(reason) }
            if let outage = gate.outage { provider["error"] = .string(outage.error.description) }
            return .object(provider)
        }
        json = .object(
            JSONObject(unique: [
                ("default", .string(service.gates[0].description.name)), ("providers", .array(providers)),
            ]))
    }
}
