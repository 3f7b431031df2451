import Redis

/// The jobs in Redis, for all replicas: what each answers, for as long as it is kept, within one byte budget.
///
/// Keys: `processor:job:<id>` (the answer), `processor:worker:<replica>` (its lease), `processor:expiries` (id by expiry),
/// `processor:sizes` (bytes by id), `processor:bytes` (their sum), `processor:fetched` (id by when its result was first asked for).
/// The expiries are cleaned up by whoever accepts next. Where the budget is used up, results that somebody has got make
/// room, then those that nobody has asked for in a minute: else syncs would stand still until the hour is over.
struct JobStore: Sendable {
    let redis: RedisConnection
    /// How long a job can be asked for. Units: milliseconds
    let lifetime: Int
    /// Units: bytes
    let budget: Int
    /// How long a replica may be silent. Units: milliseconds
    let lease: Int

    private static let index = [
        "processor:expiries", "processor:sizes", "processor:bytes", fetched,
    ]
    private static let fetched = "processor:fetched"
    private static func job(_ id: String) -> String { "processor:job:\(id)" }
    private static func worker(_ owner: String) -> String { "processor:worker:\(owner)" }

    enum Acceptance: Equatable {
        case accepted(storedBytes: Int)
        /// No room until something expires.
        case full(retryAfter: Duration)
    }

    /// Writes down a new job and sets aside `bytes` for its result.
    func accept(_ id: String, answer: [UInt8], owner: String, reserving bytes: Int) async throws(RedisError)
        -> Acceptance
    {
        let reply = try await redis.pipeline(
            [renewal(of: owner)], then: Self.accept, keys: [Self.job(id)] + Self.index,
            arguments: [
                RedisArgument(id), RedisArgument(answer), RedisArgument(bytes), RedisArgument(lifetime),
                RedisArgument(budget),
            ])
        guard let numbers = reply.result.array?.compactMap(\.integer), numbers.count == 2 else {
            throw .unexpectedReply(to: "accept")
        }
        return numbers[0] == 1
            ? .accepted(storedBytes: Int(numbers[1]))
            : .full(retryAfter: .milliseconds(min(max(numbers[1], 1000), 60_000)))
    }

    enum Ending { case stored, replaced, full }

    /// Writes a final answer, unless somebody has ended the job in between.
    func finish(_ id: String, answer: [UInt8], owner: String) async throws(RedisError) -> Ending {
        let reply = try await redis.run(
            Self.finish, keys: [Self.job(id)] + Self.index,
            arguments: [
                RedisArgument(id), RedisArgument(answer), RedisArgument(owner), RedisArgument(lifetime),
                RedisArgument(budget),
            ])
        return reply.integer == 1 ? .stored : reply.integer == 0 ? .replaced : .full
    }

    /// Replaces an answer that still has this head. False when it has not.
    @discardableResult
    func replace(_ id: String, ifStill head: JobAnswer.Head, by answer: [UInt8]) async throws(RedisError) -> Bool {
        let reply = try await redis.run(
            Self.replace, keys: [Self.job(id)], arguments: [RedisArgument(head.bytes), RedisArgument(answer)])
        return reply.integer == 1
    }

    /// `nil` for an unknown or expired job.
    func head(_ id: String) async throws(RedisError) -> JobAnswer.Head? {
        let last = RedisArgument(JobAnswer.Head.count - 1)
        return JobAnswer.Head(try await redis.send("GETRANGE", RedisArgument(Self.job(id)), "0", last).bytes ?? [])
    }

    /// The whole answer; a final one may make room for others from now on.
    func answer(_ id: String) async throws(RedisError) -> (head: JobAnswer.Head, json: [UInt8])? {
        let reply = try await redis.run(Self.fetch, keys: [Self.job(id), Self.fetched], arguments: [RedisArgument(id)])
        guard let stored = reply.bytes, let head = JobAnswer.Head(stored) else { return nil }
        return (head, Array(stored.dropFirst(JobAnswer.Head.count)))
    }

    // MARK: - Leases

    func renewLease(of owner: String) async throws(RedisError) { _ = try await redis.send(renewal(of: owner)) }
    func endLease(of owner: String) async throws(RedisError) {
        _ = try await redis.send("DEL", RedisArgument(Self.worker(owner)))
    }
    func hasLease(_ owner: String) async throws(RedisError) -> Bool {
        try await redis.send("EXISTS", RedisArgument(Self.worker(owner))).integer == 1
    }
    private func renewal(of owner: String) -> [RedisArgument] {
        ["SET", RedisArgument(Self.worker(owner)), "1", "PX", RedisArgument(lease)]
    }

    // MARK: - Scripts

    private static let bookkeeping = """
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        local bytes = tonumber(redis.call('GET', KEYS[4]) or '0')
        local function forget(id)
            bytes = bytes - tonumber(redis.call('HGET', KEYS[3], id) or '0')
            redis.call('HDEL', KEYS[3], id)
            redis.call('ZREM', KEYS[2], id)
            redis.call('ZREM', KEYS[5], id)
        end
        local function drop(id)
            forget(id)
            redis.call('DEL', 'processor:job:' .. id)
        end
        local function hasRoom(size, budget, lifetime)
            while bytes + size > budget do
                local oldest = redis.call('ZRANGE', KEYS[5], 0, 0)[1]
                if not oldest then break end
                drop(oldest)
            end
            if bytes + size <= budget then return true end
            -- Results that nobody has asked for in a minute: their caller has gone.
            for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now + lifetime - 60000, 'LIMIT', 0, 1000)) do
                local letter = redis.call('GETRANGE', 'processor:job:' .. id, 0, 0)
                if letter == 'c' or letter == 'f' then drop(id) end
                if bytes + size <= budget then return true end
            end
            return false
        end
        local function keep(id, value, size, lifetime)
            bytes = bytes - tonumber(redis.call('HGET', KEYS[3], id) or '0') + size
            redis.call('SET', KEYS[1], value, 'PX', lifetime)
            redis.call('ZADD', KEYS[2], now + lifetime, id)
            redis.call('HSET', KEYS[3], id, size)
            redis.call('SET', KEYS[4], bytes)
        end

        """
    private static let accept = RedisScript(
        bookkeeping + """
            for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 1000)) do
                forget(id)
            end
            local size = tonumber(ARGV[3])
            local fits = hasRoom(size, tonumber(ARGV[5]), tonumber(ARGV[4]))
            redis.call('SET', KEYS[4], bytes)
            if not fits then
                local next = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
                return {0, next and math.floor(next - now) or 60000}
            end
            keep(ARGV[1], ARGV[2], size, tonumber(ARGV[4]))
            return {1, bytes}
            """)
    private static let finish = RedisScript(
        bookkeeping + """
            local head = redis.call('GETRANGE', KEYS[1], 0, 32)
            if head ~= '' and head ~= 's' .. ARGV[3] and head ~= 'p' .. ARGV[3] then return 0 end
            local size = #ARGV[2]
            local before = tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or '0')
            if size > before and not hasRoom(size - before, tonumber(ARGV[5]), tonumber(ARGV[4])) then
                redis.call('SET', KEYS[4], bytes)
                return -1
            end
            keep(ARGV[1], ARGV[2], size, tonumber(ARGV[4]))
            return 1
            """)
    private static let fetch = RedisScript(
        """
        local value = redis.call('GET', KEYS[1])
        local letter = value and string.sub(value, 1, 1)
        if letter == 'c' or letter == 'f' then
            local time = redis.call('TIME')
            redis.call('ZADD', KEYS[2], 'NX', time[1] * 1000000 + time[2], ARGV[1])
        end
        return value
        """)
    private static let replace = RedisScript(
        """
        if redis.call('GETRANGE', KEYS[1], 0, 32) ~= ARGV[1] then return 0 end
        redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
        return 1
        """)
}
