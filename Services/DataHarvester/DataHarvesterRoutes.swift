import Datasources
import HTTPServer
import ServiceRuntime
import WireProtocol

/// The whole HTTP surface. `DataHarvesterDocument` describes it.
struct DataHarvesterRoutes: Sendable {
    let connectors: SourceConnectors
    let processor: any PageProcessor
    let health: HealthChecks
    let metrics: Metrics
    let internalToken: String?

    /// Somebody waits: no query may take as long as in a sync.
    private var quickConnectors: SourceConnectors {
        var settings = connectors.settings
        settings.statementTimeout = min(settings.statementTimeout, .seconds(20))
        return SourceConnectors(settings: settings, datasources: connectors.datasources)
    }

    private static let countLimit = Duration.seconds(5)

    func router(shutdown: Shutdown) -> Router {
        var router = Router()
        router.addOperationalRoutes(
            service: "data-harvester", health: health, metrics: metrics, shutdown: shutdown)
        router.requireInternalToken(internalToken)
        router.on("POST", "/sources/test", answering(test))
        router.on("POST", "/sources/preview", answering(preview))
        router.on("POST", "/sources/count", answering(count))
        router.on("POST", "/sources/validate", answering(validate))
        router.addDocument(DataHarvesterDocument.json)
        return router
    }

    private typealias Answer = @Sendable (SourceRequest, any Connector) async throws -> JSONObject

    /// Opens the source that the body describes and closes it again.
    private func answering(_ answer: @escaping Answer) -> Handler {
        let connectors = quickConnectors
        return { request in
            do {
                let source = try await SourceRequest(try request.json(), connectors: connectors)
                let connector = try await connectors.connector(for: source.source)
                do {
                    let body = try await answer(source, connector)
                    await connector.close()
                    return .json(.object(body))
                } catch {
                    await connector.close()
                    throw error
                }
            } catch {
                throw Problem.source(error)
            }
        }
    }

    @Sendable private func test(_ request: SourceRequest, _ connector: any Connector) async throws -> JSONObject {
        let start = ContinuousClock.now
        let result = try await connector.test()
        return JSONObject([
            ("ok", true), ("server", .string(result.server)),
            ("latency_ms", .number(((ContinuousClock.now - start) / .milliseconds(1)).rounded())),
            ("details", .object(result.details)),
        ])
    }

    @Sendable private func count(_ request: SourceRequest, _ connector: any Connector) async throws -> JSONObject {
        let count = try await connector.count()
        return JSONObject([("total", JSONValue(count.rows)), ("is_exact", .bool(count.isExact))])
    }

    /// That a query is one that would be run, and what it gives.
    @Sendable private func validate(_ request: SourceRequest, _ connector: any Connector) async throws -> JSONObject {
        let page = try await connector.readPage(after: nil, limit: 1, window: nil)
        return JSONObject([
            ("valid", true), ("columns", .array(page.columns.map(JSONValue.string))),
            ("notes", .array(page.notes.map(JSONValue.string))),
        ])
    }

    /// The first rows, what they would become, and how many there are.
    @Sendable private func preview(_ request: SourceRequest, _ connector: any Connector) async throws -> JSONObject {
        let page = try await connector.readPage(after: nil, limit: request.limit, window: nil)
        var answer = try await SourcePreview(request, processor: processor).json(page)
        do {
            let count = try await counted(connector)
            answer["total"] = JSONValue(count.rows)
            answer["total_is_exact"] = .bool(count.isExact)
        } catch let error as SourceError where error.code == .timedOut {
            answer["total"] = .null  // too many to count in time: no reason to withhold the rows
            answer["total_is_exact"] = false
        }
        return answer
    }

    /// Who waits for a preview does not wait until a big file has been read through.
    private func counted(_ connector: any Connector) async throws -> SourceCount {
        try await withThrowingTaskGroup(of: SourceCount.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await connector.count() }
            group.addTask {
                try await Task.sleep(for: Self.countLimit)
                throw SourceError(.timedOut, "counting takes too long")
            }
            return try await group.next() ?? SourceCount(rows: 0, isExact: false)
        }
    }
}
