import HTTPClient
import ServiceRuntime
import WireProtocol

/// The data-harvester's answers about sources: it has the connectors.
package struct DataHarvesterClient: Sendable {
    package enum Question: String, Sendable { case test, preview, validate }
    private let caller: ServiceCaller

    package init(client: HTTPClient, url: String, internalToken: String?) {
        caller = ServiceCaller(
            service: "data-harvester", url: url, client: client, headers: ServiceCaller.bearer(internalToken))
    }

    /// The answer as it is, an error's too: it names the place and the field for people.
    /// Throws: `ServiceClientError.unreachable`, or `.refused` while the service is overloaded.
    package func ask(
        _ question: Question, _ body: JSONValue, trace: TraceContext? = nil
    ) async throws -> ClientResponse {
        try await caller.send(
            "POST", "/sources/\(question.rawValue)", body: body.serializedBytes, timeout: .seconds(60),
            isIdempotent: false,
            trace: trace)
    }
}
