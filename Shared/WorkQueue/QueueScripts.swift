import Redis

/// The steps that must not be cut in two. `allow-oom` (Redis 7) where a full server must let work drain: none of these makes
/// it fuller.
enum QueueScripts {
    /// Creates the lease and makes the consumer known. KEYS lease, consumers; ARGV id, milliseconds,
    /// generation.
    static let register = RedisScript(
        """
        #!lua flags=allow-oom
        redis.call('SADD', KEYS[2], ARGV[1])
        redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[2])
        return 1
        """)

    /// Moves up to n elements into the consumer's list. Without a live lease: gives all back and answers nil.
    /// KEYS queue, processing, lease, consumers; ARGV n, id. Answers the lease's generation, then the elements.
    static let claim = RedisScript(
        """
        #!lua flags=allow-oom
        local generation = redis.call('GET', KEYS[3])
        if not generation then
            while redis.call('LMOVE', KEYS[2], KEYS[1], 'LEFT', 'RIGHT') do end
            return false
        end
        redis.call('SADD', KEYS[4], ARGV[2])
        local claimed = { generation }
        for i = 1, tonumber(ARGV[1]) do
            local element = redis.call('LMOVE', KEYS[1], KEYS[2], 'RIGHT', 'LEFT')
            if not element then break end
            claimed[i + 1] = element
        end
        return claimed
        """)

    /// KEYS processing, then a body for each element; ARGV the elements. A body goes only with its element: what was reaped
    /// meanwhile is somebody else's. Answers how many were still held.
    static let acknowledge = RedisScript(
        """
        #!lua flags=allow-oom
        local removed = 0
        for i = 1, #ARGV do
            if redis.call('LREM', KEYS[1], -1, ARGV[i]) == 1 then
                redis.call('UNLINK', KEYS[1 + i])
                removed = removed + 1
            end
        end
        return removed
        """)

    /// KEYS processing, next queue, own bodies, then pairs of a staged body and its final key;
    /// ARGV count of own elements, of pairs, seconds a body lives, own elements, next elements.
    /// Answers 1: done; 0: an own element is not held any more, nothing done; -1: a staged body is missing, nothing done.
    static let pass = RedisScript(
        """
        #!lua flags=allow-oom
        local own, pairs_ = tonumber(ARGV[1]), tonumber(ARGV[2])
        for i = 1, own do
            if not redis.call('LPOS', KEYS[1], ARGV[3 + i]) then
                for j = 1, pairs_ do redis.call('UNLINK', KEYS[1 + own + 2 * j]) end
                return 0
            end
        end
        for j = 1, pairs_ do
            if redis.call('EXISTS', KEYS[1 + own + 2 * j]) == 0 then return -1 end
        end
        for i = 1, own do
            redis.call('LREM', KEYS[1], -1, ARGV[3 + i])
            redis.call('UNLINK', KEYS[2 + i])
        end
        for j = 1, pairs_ do
            redis.call('RENAME', KEYS[1 + own + 2 * j], KEYS[2 + own + 2 * j])
            redis.call('EXPIRE', KEYS[2 + own + 2 * j], ARGV[3])
        end
        for k = 4 + own, #ARGV do redis.call('LPUSH', KEYS[2], ARGV[k]) end
        return 1
        """)

    /// KEYS processing, queue; ARGV the elements, newest first. Answers how many were still held.
    static let giveBack = RedisScript(
        """
        #!lua flags=allow-oom
        local returned = 0
        for i = 1, #ARGV do
            if redis.call('LREM', KEYS[1], -1, ARGV[i]) == 1 then
                redis.call('RPUSH', KEYS[2], ARGV[i])
                returned = returned + 1
            end
        end
        return returned
        """)

    /// The end of a consumer: everything back, lease and name gone. KEYS processing, queue, lease, consumers; ARGV id.
    static let leave = RedisScript(
        """
        #!lua flags=allow-oom
        while redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') do end
        redis.call('DEL', KEYS[3])
        redis.call('SREM', KEYS[4], ARGV[1])
        return 1
        """)

    /// Gives back what a consumer without a lease held, to the end that is read next, each as one delivery more.
    /// Not allowed when memory is full. KEYS lease, processing, queue, consumers; ARGV id. Answers what was lost, oldest last.
    static let reap = RedisScript(
        """
        #!lua
        if redis.call('EXISTS', KEYS[1]) == 1 then return false end
        local lost = redis.call('LRANGE', KEYS[2], 0, -1)
        for i = 1, #lost do
            local again = string.gsub(lost[i], '"attempt":(%d+)', function(n)
                return '"attempt":' .. string.format('%d', tonumber(n) + 1)
            end, 1)
            redis.call('RPUSH', KEYS[3], again)
        end
        redis.call('DEL', KEYS[2])
        redis.call('SREM', KEYS[4], ARGV[1])
        return lost
        """)

    /// What a pattern finds in every element of the stage's list and of its consumers' lists, at one instant.
    /// KEYS consumers, queue; ARGV stage, pattern.
    static let scan = RedisScript(
        """
        #!lua flags=no-writes,allow-oom
        local found = {}
        local function scan(list)
            for _, element in ipairs(redis.call('LRANGE', list, 0, -1)) do
                local value = string.match(element, ARGV[2])
                if value then found[#found + 1] = value end
            end
        end
        scan(KEYS[2])
        for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
            if string.sub(id, 1, #ARGV[1] + 1) == ARGV[1] .. ':' then scan('proc:' .. id) end
        end
        return found
        """)

    /// KEYS list, body; ARGV pattern of the elements.
    static let remove = RedisScript(
        """
        #!lua flags=allow-oom
        for _, element in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
            if string.find(element, ARGV[1]) then redis.call('LREM', KEYS[1], 1, element) end
        end
        redis.call('UNLINK', KEYS[2])
        return 1
        """)

    /// KEYS processing, letters, ids, next id; ARGV element, letter, most letters kept. Answers the id; 0 when the
    /// element was not held.
    static let bury = RedisScript(
        """
        #!lua flags=allow-oom
        if redis.call('LREM', KEYS[1], -1, ARGV[1]) == 0 then return 0 end
        local id = redis.call('INCR', KEYS[4])
        redis.call('HSET', KEYS[2], id, ARGV[2])
        redis.call('LPUSH', KEYS[3], id)
        while redis.call('LLEN', KEYS[3]) > tonumber(ARGV[3]) do redis.call('HDEL', KEYS[2], redis.call('RPOP', KEYS[3])) end
        return id
        """)

    /// KEYS epoch; ARGV epoch, seconds it lives.
    static let raiseEpoch = RedisScript(
        """
        #!lua
        if (tonumber(redis.call('GET', KEYS[1])) or 0) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2]) end
        return 1
        """)

    /// KEYS letters, ids, queue; ARGV id, element.
    static let replay = RedisScript(
        """
        #!lua
        if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
        redis.call('LREM', KEYS[2], 0, ARGV[1])
        redis.call('LPUSH', KEYS[3], ARGV[2])
        return 1
        """)
}
