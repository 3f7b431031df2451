import Foundation
import Glibc
import HTTPClient
import ServiceRuntime

/// `indexer export | import | copy`: a collection as a file of JSON lines, and into another Qdrant. They talk HTTP to a running indexer or
/// to a Qdrant; nothing of the suite has to stop for them.
enum TransferCommand: Equatable {
    case export(collection: String, file: String, Server)
    case importing(file: String, collection: String?, Server, replaces: Bool)
    case copy(collection: String, from: Server, to: Server, name: String?, replaces: Bool)

    struct Server: Equatable {
        var url: String
        var key: String?
    }

    static let words = ["export", "import", "copy"]
    static let usage = """
        usage: indexer export <collection> <file | -> [--url URL] [--api-key KEY]
               indexer import <file | -> [collection] [--replace] [--url URL] [--api-key KEY]
               indexer copy <collection> <target URL> [--as NAME] [--replace] [--api-key KEY] [--url URL] [--url-api-key KEY]

        A file holds one point a line behind a first line with the collection's configuration; it is packed when its name ends in .gz.
        - is standard output or input. --url is an indexer or a Qdrant, by default INDEXER_URL or http://127.0.0.1:8002. Its key is by
        default QDRANT_API_KEY (without --url also INTERNAL_TOKEN), that of a copy's target TARGET_API_KEY. --replace deletes the collection
        first; with INTERNAL_TOKEN as the key that goes for a collection that a datasource fills, too.
        """

    struct WrongUsage: Error, CustomStringConvertible, Equatable {
        var reason: String
        var description: String { "\(reason)\n\(TransferCommand.usage)" }
    }

    /// `words` begin with the command. Throws: `WrongUsage`, `ConfigurationError`.
    init(_ words: [String], _ environment: Environment) throws {
        var (arguments, options) = ([String](), [String: String]())
        var rest = words.dropFirst()
        let known: Set =
            switch words[0] {
            case "copy": ["--as", "--replace", "--api-key", "--url", "--url-api-key"]
            case "import": ["--replace", "--url", "--api-key"]
            default: ["--url", "--api-key"]
            }
        var replaces = false
        while let word = rest.popFirst() {
            guard word.hasPrefix("--") else {
                arguments.append(word)
                continue
            }
            let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
            guard known.contains(parts[0]) else { throw WrongUsage(reason: "\(words[0]) knows no option \(parts[0])") }
            if parts[0] == "--replace" {
                guard parts.count == 1 else { throw WrongUsage(reason: "--replace takes no value") }
                replaces = true
                continue
            }
            guard let value = parts.count == 2 ? parts[1] : rest.popFirst(), !value.isEmpty else {
                throw WrongUsage(reason: "\(parts[0]) needs a value")
            }
            options[parts[0]] = value
        }
        var settings = ConfigurationReader(environment)
        // The suite's own token is for the suite's own indexer, not for whatever --url names.
        let token = options["--url"] == nil ? settings.secret("INTERNAL_TOKEN") : nil
        let key = settings.secret("QDRANT_API_KEY")
        let ownKey = words[0] == "import" && replaces ? token ?? key : key ?? token
        let ownURL = settings.url("INDEXER_URL", default: "http://127.0.0.1:8002", schemes: ["http", "https"])
        let targetKey = settings.secret("TARGET_API_KEY")
        try settings.finish()
        func server(_ url: String, _ key: String?) throws -> Server {
            guard let parsed = URL(string: url), ["http", "https"].contains(parsed.scheme), parsed.host != nil else {
                throw WrongUsage(reason: "\(url) is no URL that starts with http:// or https://")
            }
            return Server(url: url, key: key)
        }
        switch (words[0], arguments.count) {
        case ("export", 2):
            self = .export(
                collection: arguments[0], file: arguments[1],
                try server(options["--url"] ?? ownURL, options["--api-key"] ?? ownKey))
        case ("import", 1...2):
            self = .importing(
                file: arguments[0], collection: arguments.dropFirst().first,
                try server(options["--url"] ?? ownURL, options["--api-key"] ?? ownKey), replaces: replaces)
        case ("copy", 2):
            self = .copy(
                collection: arguments[0],
                from: try server(options["--url"] ?? ownURL, options["--url-api-key"] ?? ownKey),
                to: try server(arguments[1], options["--api-key"] ?? targetKey), name: options["--as"],
                replaces: replaces)
        default:
            throw WrongUsage(reason: "\(words[0]) takes other arguments than \(arguments.count) of them")
        }
    }

    /// Runs what the command line says, when it says export, import or copy, and ends the process: 0, 1 for what went wrong, 64 for a wrong
    /// command line, 78 for wrong settings. Standard output is for points; everything else goes to standard error.
    static func runIfAsked(_ arguments: [String], _ environment: Environment = Environment()) async {
        guard arguments.count > 1, words.contains(arguments[1]) else { return }
        signal(SIGPIPE, SIG_IGN)
        let say: @Sendable (String) -> Void = { FileHandle.standardError.write(Data("\($0)\n".utf8)) }
        do {
            try await TransferCommand(Array(arguments.dropFirst()), environment).run(say)
            exit(0)
        } catch let error as WrongUsage {
            say("indexer: \(error)")
            exit(64)
        } catch let error as ConfigurationError {
            say("indexer: \(error)")
            exit(78)
        } catch {
            say("indexer: \(arguments[1]) failed: \(error)")
            exit(1)
        }
    }

    func run(_ say: @escaping @Sendable (String) -> Void) async throws {
        let client = HTTPClient(log: .silent)
        defer { client.close() }
        func connection(_ server: Server, isBearer: Bool = false) -> QdrantConnection {
            var connection = QdrantConnection(url: server.url, client: client, apiKey: server.key)
            connection.isBearer = isBearer
            connection.backoff.attempts = 8  // some ten seconds: a server that starts again is waited for
            return connection
        }
        switch self {
        case .export(let collection, let file, let server):
            let source = CollectionReader(qdrant: connection(server), name: collection)
            let count = try await PointsExport(source: source).run(
                to: file, progress: TransferProgress("exported", say: say))
            say("exported \(count) points of \(collection)")
        case .importing(let file, let collection, let server, let replaces):
            let points = PointsImport(
                qdrant: connection(server, isBearer: replaces), collection: collection, replaces: replaces)
            let done = try await points.run(
                try PointsFileReader(path: file), progress: TransferProgress("imported", say: say))
            say("imported \(done.points) points into \(done.collection)\(Self.also(done.aliases))")
        case .copy(let collection, let from, let to, let name, let replaces):
            let copy = CollectionCopy(
                source: CollectionReader(qdrant: connection(from), name: collection),
                target: connection(to, isBearer: replaces), name: name, replaces: replaces)
            let done = try await copy.run(progress: TransferProgress("copied", say: say))
            say(
                "the copy \(done.collection) has all \(done.points) points, compared with the source\(Self.also(done.aliases))"
            )
        }
    }

    private static func also(_ aliases: [String]) -> String {
        aliases.isEmpty ? "" : ", reachable as \(aliases.joined(separator: ", "))"
    }
}
