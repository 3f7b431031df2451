import Foundation
import Testing

@testable import Embedder

struct ProviderReplyTests {
    private func error(_ status: Int, _ body: String, _ headers: [String: String] = [:]) -> EmbeddingError {
        ProviderReply.error(status: status, body: Array(body.utf8)) { headers[$0] }
    }

    @Test(arguments: [
        (
            429,
            #"{"error":{"message":"Rate limit reached","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
            EmbeddingError.Kind.rateLimited
        ),
        (
            429,
            #"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#,
            .quotaExhausted
        ),
        (429, #"{"error":{"message":"x","code":"429","type":null,"param":null}}"#, .rateLimited),
        (
            429,
            #"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"m","details":[{"violations":[{"quotaId":"EmbedPerDay-FreeTier"}]}]}}"#,
            .quotaExhausted
        ),
        (429, #"[{"error":{"code":429,"message":"m","details":[{"retryDelay":"47.5s"}]}}]"#, .rateLimited),
        (401, #"{"error":{"message":"Incorrect API key provided: sk-abc","code":"invalid_api_key"}}"#, .authInvalid),
        (400, #"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}"#, .authInvalid),
        (403, "forbidden", .permissionDenied), (404, #"{"error":"model \"x\" not found"}"#, .modelNotFound),
        (
            400,
            #"{"object":"error","message":"This model's maximum context length is 512 tokens","type":"BadRequestError","param":null,"code":400}"#,
            .contextLength
        ),
        (400, #"{"error":{"message":"the input length exceeds the context length"}}"#, .contextLength),
        (413, "", .batchTooLarge), (422, #"{"detail":"no"}"#, .invalidRequest),
        (
            400,
            #"{"error":{"message":"* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch"}}"#,
            .batchTooLarge
        ),
        (500, "<html>oops</html>", .serverError), (502, "", .serverError),
        (503, #"{"error":"server busy"}"#, .overloaded),
        (529, "", .overloaded), (504, "", .timeout), (302, "", .protocolError),
        (400, #"{"error":{"message":"blocked","code":"content_policy_violation"}}"#, .contentFiltered),
    ])
    func sortsFailuresIntoClasses(status: Int, body: String, kind: EmbeddingError.Kind) {
        #expect(error(status, body).kind == kind)
    }

    @Test func findsHowLongToWait() {
        #expect(error(429, "", ["retry-after": "7"]).retryAfter == .seconds(7))
        #expect(error(429, "", ["retry-after": "0"]).retryAfter == .zero)
        #expect(error(429, "", ["retry-after": "1.5", "retry-after-ms": "250"]).retryAfter == .milliseconds(250))
        #expect(error(429, #"{"error":{"message":"Please try again in 634ms."}}"#).retryAfter == .milliseconds(634))
        #expect(
            error(429, #"{"error":{"message":"m","details":[{"retryDelay":"45.837906927s"}]}}"#).retryAfter
                == .milliseconds(45838))
        let date = RetryAfter.read(
            header: { $0 == "retry-after" ? "Fri, 20 Nov 2026 10:00:30 GMT" : nil },
            now: Date(timeIntervalSince1970: 1_795_168_800))
        #expect(date == .seconds(30))
        #expect(error(429, "", ["retry-after": "soon"]).retryAfter == nil)
    }

    @Test func noSecretGetsIntoAMessage() {
        let message = error(
            401, #"{"error":{"message":"Incorrect API key provided: sk-proj-12345. See https://x.test/keys?k=1"}}"#
        ).message
        #expect(!message.contains("12345") && !message.contains("https"))
        #expect(message.contains("Incorrect API key provided:"))
    }

    @Test(arguments: [
        ("https://api.openai.com", "https://api.openai.com/v1/embeddings"),
        ("https://api.openai.com/v1", "https://api.openai.com/v1/embeddings"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1/embeddings"),
        ("https://g.test/v1beta/openai/", "https://g.test/v1beta/openai/embeddings"),
        ("http://127.0.0.1:8080/proxy", "http://127.0.0.1:8080/proxy/v1/embeddings"),
        ("http://x.test/v1/embeddings", "http://x.test/v1/embeddings"),
    ])
    func findsTheEndpoint(base: String, url: String) { #expect(OpenAICompatibleProvider.endpoint(base) == url) }
}
