import Foundation
import WireProtocol

/// What a `connectionConfig` must and may hold, by type (SPEC 2.1).
struct ConnectionRules {
    var type: Datasource.Kind

    private var allowed: Set<String> {
        switch type {
        case .postgresql, .mysql, .mssql:
            ["host", "port", "database", "user", "password", "tls", "url", "table", "schema", "driver", "hasSecrets"]
        case .odbc: ["connectionString", "table", "schema", "hasSecrets"]
        case .api: ["url", "headers", "rows", "paging", "method", "token", "hasSecrets"]
        case .csv: ["path", "delimiter", "encoding", "file", "hasSecrets"]
        case .xlsx: ["path", "sheet", "file", "hasSecrets"]
        case .jsonl: ["path", "encoding", "file", "hasSecrets"]
        }
    }

    private static let tlsModes = ["disable", "prefer", "require", "verify-ca", "verify-full"]

    func check(_ config: JSONObject, query: String?, _ reader: inout DraftReader) {
        for name in config.names where !allowed.contains(name) {
            reader.refuse(
                "connectionConfig.\(name)",
                "is not a setting of \(type.rawValue): \(allowed.subtracting(["hasSecrets", "file"]).sorted().joined(separator: ", "))"
            )
        }
        switch type {
        case .postgresql, .mysql, .mssql: checkDatabase(config, &reader)
        case .odbc: _ = text(config, "connectionString", &reader, required: true)
        case .api: checkAPI(config, &reader)
        case .csv, .xlsx, .jsonl: checkFile(config, &reader)
        }
        guard type.isSQL else { return }
        let table = text(config, "table", &reader)
        _ = text(config, "schema", &reader)
        if query == nil, table == nil {
            reader.refuse("queryTemplate", "is required, or connectionConfig.table")
        }
    }

    private func text(_ config: JSONObject, _ name: String, _ reader: inout DraftReader, required: Bool = false)
        -> String?
    {
        let field = "connectionConfig.\(name)"
        if required { return reader.text(config[name], field, maximum: 4000) }
        return reader.optionalText(config[name], field, maximum: 4000)
    }

    private func checkDatabase(_ config: JSONObject, _ reader: inout DraftReader) {
        if config["url"]?.isNull ?? true {
            if let host = text(config, "host", &reader, required: true),
                host.contains(where: { "/,;'\\".contains($0) || $0.isWhitespace })
            {
                reader.refuse("connectionConfig.host", "must be one host name or address")
            }
            _ = text(config, "database", &reader, required: true)
            _ = text(config, "user", &reader, required: true)
        } else if let url = text(config, "url", &reader) {
            let schemes =
                type == .postgresql
                ? ["postgresql", "postgres"] : type == .mysql ? ["mysql", "mariadb"] : ["mssql", "sqlserver"]
            let parts = URLComponents(string: url)
            if parts?.scheme.map({ !schemes.contains($0) }) ?? true || parts?.host?.isEmpty ?? true || url.contains(",")
            {
                reader.refuse("connectionConfig.url", "must look like \(schemes[0])://user:password@host/database")
            }
            for item in parts?.queryItems ?? [] {
                if item.name != "sslmode" {
                    reader.refuse("connectionConfig.url", "must have no parameter but sslmode")
                } else if !Self.tlsModes.contains(item.value ?? "") {
                    reader.refuse(
                        "connectionConfig.url", "sslmode must be one of \(Self.tlsModes.joined(separator: ", "))")
                }
            }
            for name in ["host", "port", "database", "user"] where !(config[name]?.isNull ?? true) {
                reader.refuse("connectionConfig.\(name)", "is in the url already: give one of both")
            }
        }
        _ = reader.integer(config["port"], "connectionConfig.port", in: 1...65_535)
        _ = reader.optionalText(config["password"], "connectionConfig.password", maximum: 4000)
        switch config["tls"] {
        case nil, .null, .bool: break
        case .string(let mode) where Self.tlsModes.contains(mode): break
        default:
            reader.refuse(
                "connectionConfig.tls", "must be true, false or one of \(Self.tlsModes.joined(separator: ", "))")
        }
    }

    private func checkAPI(_ config: JSONObject, _ reader: inout DraftReader) {
        if let url = text(config, "url", &reader, required: true) {
            let parts = URLComponents(string: url)
            if !["https", "http"].contains(parts?.scheme ?? "") || parts?.host?.isEmpty ?? true {
                reader.refuse("connectionConfig.url", "must be an http or https address")
            }
            if parts?.user != nil { reader.refuse("connectionConfig.url", "must not hold a user: use headers") }
        }
        if let rows = text(config, "rows", &reader), !rows.isEmpty, !rows.hasPrefix("/") {
            reader.refuse("connectionConfig.rows", "must be a JSON pointer like /data/items")
        }
        if let headers = config["headers"], !headers.isNull {
            guard let object = headers.object else {
                return reader.refuse("connectionConfig.headers", "must be an object of texts, not \(headers.kind)")
            }
            for (name, value) in object.members where !value.isNull {
                if value.string?.contains(where: \.isNewline) ?? true {
                    reader.refuse("connectionConfig.headers.\(name)", "must be a text of one line")
                }
            }
        }
        if let paging = config["paging"], !paging.isNull, paging.object == nil {
            reader.refuse("connectionConfig.paging", "must be an object, not \(paging.kind)")
        }
    }

    private func checkFile(_ config: JSONObject, _ reader: inout DraftReader) {
        if let path = text(config, "path", &reader) {
            let parts = path.split(separator: "/", omittingEmptySubsequences: false)
            if path.hasPrefix("/") || parts.contains("..") {
                reader.refuse("connectionConfig.path", "must be a path inside the mounted folder, without ..")
            }
        }
        if let delimiter = text(config, "delimiter", &reader), FileSettings.delimiter(delimiter) == nil {
            reader.refuse(
                "connectionConfig.delimiter", "must be one ASCII character, or tab; not a quote or a line break")
        }
        if let encoding = text(config, "encoding", &reader), FileSettings.Encoding(name: encoding) == nil {
            reader.refuse(
                "connectionConfig.encoding", "must be utf-8, utf-16, utf-16le, utf-16be, latin-1 or windows-1252")
        }
        _ = text(config, "sheet", &reader)
    }
}

/// How a text file is to be read, where the file does not say.
package enum FileSettings {
    package enum Encoding: String, Sendable {
        case utf8 = "utf-8", utf16 = "utf-16", utf16LittleEndian = "utf-16le", utf16BigEndian = "utf-16be"
        case latin1 = "latin-1", windows1252 = "windows-1252"

        package init?(name: String) {
            switch name.lowercased().replacing("_", with: "-") {
            case "utf-8", "utf8", "utf-8-sig", "ascii", "us-ascii": self = .utf8
            case "utf-16", "utf16": self = .utf16
            case "utf-16le", "utf-16-le", "utf16le": self = .utf16LittleEndian
            case "utf-16be", "utf-16-be", "utf16be": self = .utf16BigEndian
            case "latin-1", "latin1", "iso-8859-1", "iso8859-1": self = .latin1
            case "windows-1252", "cp1252", "win-1252": self = .windows1252
            default: return nil
            }
        }
    }

    /// `;`, `tab`, `\t`: one byte that is no quote and no line break.
    package static func delimiter(_ text: String) -> UInt8? {
        if text.lowercased() == "tab" || text == "\\t" { return 0x09 }
        guard text.utf8.count == 1, let byte = text.utf8.first, byte < 0x80, ![0x22, 0x0A, 0x0D, 0].contains(byte)
        else { return nil }
        return byte
    }
}
