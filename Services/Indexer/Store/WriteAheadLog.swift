import Foundation
import ServiceRuntime
import Synchronization

/// The log that a collection's writer appends to, `wal-N.log`.
final class WriteAheadLog: Sendable {
    let number: Int
    private let file: StoreFile
    private struct State {
        var length: Int
        var durable: Int
        var failure: StoreError?
    }
    private let state: Mutex<State>

    static func path(_ number: Int, in folder: String) -> String { "\(folder)/wal-\(number).log" }
    var path: String { file.path }

    /// Opens or creates; `length` is where the good records end.
    init(_ number: Int, in folder: String, length: Int = 0) throws {
        self.number = number
        let path = Self.path(number, in: folder)
        let isNew = access(path, F_OK) != 0
        file = try StoreFile(path, create: true)
        try file.truncate(to: length)
        try file.synchronise()
        if isNew { try StoreFile.synchroniseFolder(folder) }
        state = Mutex(State(length: length, durable: length))
    }

    var length: Int { state.withLock { $0.length } }
    var durable: UInt64 { state.withLock { UInt64($0.durable) } }
    var isUnlinked: Bool { file.isUnlinked }
    var failure: StoreError? { state.withLock { $0.failure } }

    /// All of the record or nothing of it. Only the collection's writer calls this.
    func append(_ record: [UInt8]) throws {
        let start = length
        do {
            try record.withUnsafeBytes { try file.write($0, at: start) }
        } catch {
            do { try file.truncate(to: start) } catch {  // the next record would be followed by the rest of this one
                state.withLock { $0.failure = .inputOutput("\(error)") }
            }
            throw error
        }
        state.withLock { $0.length = start + record.count }
    }

    /// Durable afterwards: everything appended before. A failure is final: the page cache may have dropped what it could not write.
    func synchronise() throws {
        let (goal, done, failure) = state.withLock { ($0.length, $0.durable, $0.failure) }
        if let failure { throw failure }
        if goal == done { return }
        do {
            try file.synchronise()
            if file.isUnlinked { throw StoreError.inputOutput("\(path) was deleted while it was in use") }
        } catch let error as StoreError {
            state.withLock { $0.failure = error }
            throw error
        }
        state.withLock { $0.durable = max($0.durable, goal) }
    }

    static func size(_ number: Int, in folder: String) throws -> Int { try StoreFile(path(number, in: folder)).size }

    /// Every log of a folder, oldest first.
    static func numbers(in folder: String) throws -> [Int] {
        try FileManager.default.contentsOfDirectory(atPath: folder).compactMap { name in
            guard name.hasPrefix("wal-"), name.hasSuffix(".log") else { return nil }
            return Int(name.dropFirst(4).dropLast(4))
        }.sorted()
    }
}

/// Reads logs back at start.
struct LogReplay {
    let folder: String
    let acceptLoss: Bool
    let log: Log
    /// The last sequence number that was applied.
    var sequence: UInt64
    /// Records were skipped: the rest must be checkpointed, so that the next start does not meet the damage again.
    private(set) var lostRecords = false

    init(folder: String, after sequence: UInt64, acceptLoss: Bool, log: Log) {
        self.folder = folder
        self.sequence = sequence
        self.acceptLoss = acceptLoss
        self.log = log
    }

    /// Applies all records of one log in order. Answers the length of what is good: a torn tail lies behind it.
    /// Throws: `damaged` where something acknowledged cannot be read.
    mutating func run(_ number: Int, isLast: Bool, apply: (UInt64, [PointChange]) throws -> Void) throws -> Int {
        let path = WriteAheadLog.path(number, in: folder)
        let file = try StoreFile(path)
        let size = try file.size
        if size == 0 { return 0 }
        let memory = try file.map(at: 0, count: size)
        let bytes = UnsafeRawBufferPointer(memory.bytes)
        var offset = 0
        while offset < size {
            let flaw: LogRecord.Flaw
            switch LogRecord.read(bytes, at: offset) {
            case .success(let record):
                guard record.sequence <= sequence + 1 || lostRecords else {
                    try lose(path, offset, "record \(sequence + 1) is missing, \(record.sequence) follows")
                    continue
                }
                if record.sequence > sequence {
                    guard let changes = LogRecord.changes(in: UnsafeRawBufferPointer(rebasing: bytes[record.body]))
                    else {
                        throw StoreError.inputOutput("\(path) at \(offset): a record of a newer version of the indexer")
                    }
                    try apply(record.sequence, changes)
                    sequence = record.sequence
                }
                offset = record.body.upperBound
                continue
            case .failure(let reason): flaw = reason
            }
            let next = Self.nextRecord(bytes, after: offset)
            let wasPromised = next.map { $0.provesDurable > offset } ?? false
            if isLast, !wasPromised {
                log.warning(
                    "log.tail_cut",
                    ["file": .string(path), "offset": .integer(Int64(offset)), "bytes": .integer(Int64(size - offset))])
                return offset
            }
            try lose(path, offset, flaw.rawValue)
            offset = next?.offset ?? size
        }
        return size
    }

    private mutating func lose(_ path: String, _ offset: Int, _ reason: String) throws {
        guard acceptLoss else { throw StoreError.damaged(file: path, offset: offset, reason: reason) }
        log.error(
            "log.loss_accepted", ["file": .string(path), "offset": .integer(Int64(offset)), "reason": .string(reason)])
        lostRecords = true
    }

    /// The next good record behind a damaged place, and how far all good records behind it prove the file to have been durable.
    private static func nextRecord(_ bytes: UnsafeRawBufferPointer, after start: Int) -> (
        offset: Int, provesDurable: Int
    )? {
        let magic = withUnsafeBytes(of: LogRecord.magic.littleEndian) { Array($0) }
        var first: Int?
        var durable = 0
        var offset = start + 1
        while offset + LogRecord.headerSize <= bytes.count {
            guard bytes[offset] == magic[0], bytes[offset + 1] == magic[1], bytes[offset + 2] == magic[2],
                bytes[offset + 3] == magic[3], case .success(let record) = LogRecord.read(bytes, at: offset)
            else {
                offset += 1
                continue
            }
            first = first ?? offset
            durable = max(durable, Int(record.durable))
            offset = record.body.upperBound
        }
        return first.map { ($0, durable) }
    }
}
