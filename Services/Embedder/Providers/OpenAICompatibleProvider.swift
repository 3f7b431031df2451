import HTTPClient
import ServiceRuntime
import Synchronization
import WireProtocol

/// `POST /v1/embeddings`: OpenAI, OVHcloud, vLLM, text-embeddings-inference, LiteLLM and others.
///
/// base64 is asked for (a third of the bytes of numbers); what comes is taken, whatever was asked. A server that refuses an
/// optional parameter (`dimensions`, `encoding_format`) is asked without it from then on.
final class OpenAICompatibleProvider: EmbeddingProvider {
    let description: ProviderDescription
    private let url: String
    private let key: String?
    private let client: HTTPClient
    /// Whether the parameter goes along with the model and dimensions of the settings.
    private let sendsDimensions: Bool
    private struct Size: Hashable {
        var model: String
        var dimensions: Int
    }
    private struct Parameters {
        /// The server refused the parameter for these: their vectors have the right size, or the answer is refused.
        var withoutDimensions: Set<Size> = []
        var encodingFormat = true
    }
    private let parameters = Mutex(Parameters())

    /// - Parameter sendsDimensions: only models that can shorten their vectors take the parameter.
    init(
        name: String = "openai", baseURL: String, key: String?, model: String, dimensions: Int, sendsDimensions: Bool,
        limits: ProviderLimits = ProviderLimits(), client: HTTPClient
    ) {
        description = ProviderDescription(
            name: name, model: model, dimensions: dimensions, takesOtherModels: true, takesOtherDimensions: true,
            limits: limits)
        url = Self.endpoint(baseURL)
        self.key = key
        self.client = client
        self.sendsDimensions = sendsDimensions
    }

    /// The base may be the server or end in its version (`/v1`, `/v1beta/openai`), with or without a slash.
    static func endpoint(_ base: String) -> String {
        var base = base
        while base.hasSuffix("/") { base.removeLast() }
        if base.hasSuffix("/embeddings") { return base }
        let last = base.split(separator: "/").last ?? ""
        let isVersioned = last == "openai" || last.wholeMatch(of: /v[0-9]+[a-z0-9]*/) != nil
        return base + (isVersioned ? "/embeddings" : "/v1/embeddings")
    }

    func embed(_ call: EmbeddingCall) async throws(EmbeddingError) -> EmbeddingAnswer {
        while true {
            do {
                return try await post(call)
            } catch  where error.kind == .invalidRequest && dropParameter(named: error.message, call) {
                continue
            }
        }
    }

    private func post(_ call: EmbeddingCall) async throws(EmbeddingError) -> EmbeddingAnswer {
        let response: ClientResponse
        do {
            response = try await client.send(request(call))
        } catch {
            throw EmbeddingError(error)
        }
        guard response.isSuccess else {
            throw ProviderReply.error(status: response.status, body: response.body) { response.header($0) }
        }
        return try ProviderReply.vectors(response.body, count: call.texts.count, dimensions: call.dimensions)
    }

    private func request(_ call: EmbeddingCall) -> ClientRequest {
        var request = ClientRequest(
            method: "POST", url: url,
            headers: [("Content-Type", "application/json"), ("Accept", "application/json")]
                + (key.map { [("Authorization", "Bearer \($0)")] } ?? []),
            body: body(call), timeout: description.limits.timeout,
            // a number as text takes some 14 bytes, twice that in a wasteful form; in base64 it takes 5.4
            maximumResponseBytes: call.texts.count * (call.dimensions * 32 + 512) + (1 << 20))
        request.peer = description.name
        request.usesProxy = url.hasPrefix("https:")
        return request
    }

    private func body(_ call: EmbeddingCall) -> [UInt8] {
        let parameters = parameters.withLock { $0 }
        var writer = JSONWriter(reserving: call.texts.reduce(128) { $0 + $1.utf8.count + 8 })
        writer.raw(#"{"model":"#)
        writer.write(call.model)
        if parameters.encodingFormat { writer.raw(#","encoding_format":"base64""#) }
        if asksForDimensions(call, parameters) {
            writer.raw(#","dimensions":"#)
            writer.write(Int64(call.dimensions))
        }
        writer.raw(#","input":["#)
        for (index, text) in call.texts.enumerated() {
            if index > 0 { writer.raw(",") }
            writer.write(text)
        }
        writer.raw("]}")
        return writer.bytes
    }

    private func asksForDimensions(_ call: EmbeddingCall, _ parameters: Parameters) -> Bool {
        if parameters.withoutDimensions.contains(Size(model: call.model, dimensions: call.dimensions)) { return false }
        if call.model == description.model, call.dimensions == description.dimensions { return sendsDimensions }
        return EmbedderConfiguration.knownDimensions[call.model] != call.dimensions
    }

    /// True when the refusal names an optional parameter that the next call can do without.
    private func dropParameter(named message: String, _ call: EmbeddingCall) -> Bool {
        parameters.withLock { parameters in
            if parameters.encodingFormat && message.contains("encoding_format") {
                parameters.encodingFormat = false
                return true
            }
            guard message.contains("dimensions"), asksForDimensions(call, parameters) else { return false }
            return parameters.withoutDimensions.insert(Size(model: call.model, dimensions: call.dimensions)).inserted
        }
    }
}

extension EmbeddingError {
    init(_ error: HTTPClientError) {
        switch error {
        case .cancelled: self.init(.cancelled, "the request was cancelled")
        case .timedOut: self.init(.timeout, "the provider did not answer in time")
        case .responseTooLarge: self.init(.protocolError, "the answer is larger than any of this request could be")
        case .invalidURL, .invalidRequest: self.init(.spaceUnavailable, "the provider's URL or key is not usable")
        default: self.init(.connection, "\(error)")
        }
    }
}
