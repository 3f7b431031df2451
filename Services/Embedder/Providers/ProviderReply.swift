import FastJSON
import Foundation
import HTTPClient
import WireProtocol

/// Reads what an embeddings API answered, good or bad.
enum ProviderReply {
    /// Throws: when the whole answer is useless. A vector that alone is bad is that text's failure.
    static func vectors(_ body: [UInt8], count: Int, dimensions: Int) throws(EmbeddingError) -> EmbeddingAnswer {
        let answer: VectorsReader
        do {
            answer = try VectorsReader(body, rows: count, dimensions: dimensions)
        } catch {
            throw EmbeddingError(.protocolError, "the answer is not one of an embeddings API: \(error)")
        }
        guard answer.found == count, !answer.states.contains(.repeated), !answer.states.contains(.missing) else {
            throw EmbeddingError(.badVector, "\(answer.found) vectors came for \(count) texts, or an index twice")
        }
        if answer.states.allSatisfy({ $0 == .otherWidth }) {
            throw EmbeddingError(
                .spaceUnavailable,
                "the vectors have \(answer.foundDimensions) dimensions, not the configured \(dimensions)")
        }
        let results = (0..<count).map { row -> Result<[Float], EmbeddingError> in
            switch answer.states[row] {
            case .read:
                UnitVector.of(answer[row]).map(Result.success)
                    ?? .failure(EmbeddingError(.badVector, "the vector has no length"))
            case .otherWidth: .failure(EmbeddingError(.badVector, "the vector has another number of dimensions"))
            case .notFinite: .failure(EmbeddingError(.badVector, "the vector holds NaN or an infinity"))
            case .missing, .unreadable, .repeated: .failure(EmbeddingError(.badVector, "the vector is unreadable"))
            }
        }
        return EmbeddingAnswer(results: results, tokens: answer.tokens)
    }

    /// Sorts a failed answer into its class. The forms are those of OpenAI, LiteLLM, vLLM (old and new), Ollama, FastAPI, Gemini,
    /// or no JSON at all.
    static func error(status: Int, body: [UInt8], header: (String) -> String?) -> EmbeddingError {
        let json = body.count <= 1 << 20 ? try? JSONReader.parse(body) : nil
        let root = json?.array?.first ?? json
        let fields = root?["error"]?.object == nil ? root : root?["error"]
        let text =
            fields?["message"]?.string ?? root?["error"]?.string ?? root?["detail"]?.string
            ?? (json == nil ? "an answer that is not JSON" : "no reason given")
        let code = [fields?["code"]?.text, fields?["type"]?.text, fields?["status"]?.text].compactMap { $0 }.joined(
            separator: " ")
        let wait = RetryAfter.read(header: header) ?? retryDelay(fields) ?? RetryAfter.prose(text)
        let kind = kind(status: status, code: code.lowercased(), text: text.lowercased(), body: fields, wait: wait)
        return EmbeddingError(kind, "status \(status): \(redacted(text))", status: status, retryAfter: wait)
    }

    private static func kind(status: Int, code: String, text: String, body: JSONValue?, wait: Duration?)
        -> EmbeddingError.Kind
    {
        if contextPhrases.contains(where: { text.contains($0) }) || code.contains("context_length_exceeded") {
            return .contextLength
        }
        switch status {
        case 401: return .authInvalid
        case 403: return .permissionDenied
        case 404: return .modelNotFound
        case 402: return .quotaExhausted
        case 408, 499, 504: return .timeout
        case 413: return .batchTooLarge
        case 429:
            let isDaily = quotaIDs(body).contains { $0.contains("PerDay") }
            if isDaily || (code.contains("insufficient_quota") && wait == nil) { return .quotaExhausted }
            return .rateLimited
        case 503, 529: return .overloaded
        case 500...: return .serverError
        case 400, 422:
            if text.contains("api key not valid") { return .authInvalid }
            if code.contains("failed_precondition") { return .permissionDenied }
            if code.contains("model_not_found") { return .modelNotFound }
            if code.contains("content_policy") || code.contains("content_filter") { return .contentFiltered }
            if text.contains("requests can be in one batch") || text.contains("tokens per request")
                || text.contains("batch size")
            {
                return .batchTooLarge
            }
            return .invalidRequest
        case 300..<400: return .protocolError
        case 200..<300: return .protocolError
        default: return .invalidRequest
        }
    }

    private static let contextPhrases = [
        "maximum context length", "longer than the model's context length", "exceeds the available context size",
        "input length exceeds", "exceeds the maximum number of tokens", "model's context length is only",
    ]

    private static func details(_ body: JSONValue?) -> [JSONValue] { body?["details"]?.array ?? [] }
    private static func quotaIDs(_ body: JSONValue?) -> [String] {
        details(body).flatMap { $0["violations"]?.array ?? [] }.compactMap { $0["quotaId"]?.string }
    }
    /// Google's RetryInfo: "45.837906927s".
    private static func retryDelay(_ body: JSONValue?) -> Duration? {
        details(body).compactMap { $0["retryDelay"]?.string }.first.flatMap { text in
            text.hasSuffix("s") ? Double(text.dropLast()).flatMap(RetryAfter.seconds) : nil
        }
    }

    /// No key, no address, at most 300 characters: providers quote what they were sent.
    static func redacted(_ text: String) -> String {
        let words = text.split(whereSeparator: \.isWhitespace).map { word -> Substring in
            let isSecret =
                word.count >= 20 && word.contains(where: \.isNumber) && word.contains(where: \.isLetter)
                || word.hasPrefix("sk-") || word.contains("@") || word.contains("://")
            return isSecret ? "[redacted]" : word
        }
        return String(words.joined(separator: " ").prefix(300))
    }
}

/// How long a provider says to wait. Zero is an answer.
enum RetryAfter {
    static func read(header: (String) -> String?, now: Date = Date()) -> Duration? {
        if let text = header("retry-after-ms"), let milliseconds = Double(text) { return seconds(milliseconds / 1000) }
        guard let text = header("retry-after") else { return nil }
        if let number = Double(text) { return seconds(number) }
        let format = DateFormatter()
        format.locale = Locale(identifier: "en_US_POSIX")
        format.timeZone = TimeZone(secondsFromGMT: 0)
        format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
        return format.date(from: text).flatMap { seconds(max(0, $0.timeIntervalSince(now))) }
    }

    /// Some gateways say it only in words: "try again in 634ms".
    static func prose(_ text: String) -> Duration? {
        guard let match = text.firstMatch(of: /try again in ([0-9]+(?:\.[0-9]+)?) ?(ms|s)\b/),
            let number = Double(match.1)
        else {
            return nil
        }
        return seconds(match.2 == "ms" ? number / 1000 : number)
    }

    static func seconds(_ value: Double) -> Duration? {
        guard value.isFinite, value >= 0, value < 1e7 else { return nil }
        return .milliseconds(Int64((value * 1000).rounded(.up)))
    }
}
