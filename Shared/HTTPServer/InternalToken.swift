/// `Authorization: Bearer <INTERNAL_TOKEN>` between services: asked by all routes added after it, when a token is set.
extension Router {
    package mutating func requireInternalToken(_ token: String?) {
        guard let token else { return }
        let expected = Array("Bearer \(token)".utf8)
        use { request, next in
            guard let given = request.headers["Authorization"], Self.isEqual(Array(given.utf8), expected) else {
                throw Problem.unauthorized("the internal token is required")
            }
            return try await next(request)
        }
    }

    /// Takes the same time wherever two texts of one length differ.
    private static func isEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
