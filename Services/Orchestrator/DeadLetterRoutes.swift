import FastJSON
import HTTPServer
import ServiceRuntime
import WireProtocol
import WorkQueue

/// `/api/dead-letters`: messages that nobody could use, to look at and to send again.
struct DeadLetterRoutes: Sendable {
    let queue: WorkQueue

    func add(to router: inout Router) {
        router.on("GET", "/api/dead-letters") { request in
            let page = try Page(request)
            let (items, total) = try await queue.deadLetters(limit: page.limit, offset: page.offset)
            return page.answer(items.map { .object($0.json) }, total: total)
        }
        router.on("POST", "/api/dead-letters/:id/replay") { request in
            let id = request.parameters["id"] ?? ""
            guard let number = Int64(id), try await queue.replay(id: number) else {
                throw Problem.notFound("there is no dead letter \(id)")
            }
            return .json(["id": .string(id), "status": "queued"], status: 202)
        }
    }
}

extension DeadLetter {
    /// As the API answers it. A message has no customers' values in it.
    var json: JSONObject {
        [
            "id": .string(String(id)), "queue": .string(queue.stage), "reason": .string(reason),
            "message": (try? JSONReader.parse(raw)) ?? .null, "deadAt": .string(Timestamp(milliseconds: at).text),
        ]
    }
}
