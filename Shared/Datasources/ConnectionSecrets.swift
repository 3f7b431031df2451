import Foundation
import WireProtocol

/// Keeps the secrets of a connection apart from what may be shown: `password` and `token`, the values of `headers`, and the password
/// inside a `url` or an ODBC `connectionString`.
enum ConnectionSecrets {
    private static let whole = ["password", "token"]

    /// What may be stored and shown in the clear, and what is sealed. A header is shown with `null` for its value.
    static func split(_ config: JSONObject) -> (plain: JSONObject, secrets: JSONObject) {
        var plain = config
        var secrets = JSONObject()
        for name in whole {
            if let value = config[name]?.string, !value.isEmpty { secrets[name] = .string(value) }
            plain[name] = nil
        }
        for (name, hide) in [("url", withoutPassword(url:)), ("connectionString", withoutPassword(connectionString:))] {
            guard let text = config[name]?.string else { continue }
            let shown = hide(text)
            if shown != text { secrets[name] = .string(text) }
            plain[name] = .string(shown)
        }
        if let headers = config["headers"]?.object, !headers.isEmpty {
            let given = headers.members.filter { !$0.value.isNull }
            if !given.isEmpty { secrets["headers"] = .object(JSONObject(unique: given)) }
            plain["headers"] = .object(JSONObject(unique: headers.members.map { ($0.name, .null) }))
        }
        plain["hasSecrets"] = nil
        return (plain, secrets)
    }

    static func join(_ plain: JSONObject, _ secrets: JSONObject) -> JSONObject {
        var config = plain
        for name in whole + ["url", "connectionString"] {
            if let value = secrets[name] { config[name] = value }
        }
        if let kept = secrets["headers"]?.object, let shown = plain["headers"]?.object {
            config["headers"] = .object(JSONObject(unique: shown.members.map { ($0.name, kept[$0.name] ?? $0.value) }))
        }
        return config
    }

    /// The secrets of an update: what is given, and what is stored where nothing is given. A secret is kept only for the server it
    /// was given for: else who may change a host could have the password sent to a host of theirs.
    /// Throws: the members whose secrets are needed again.
    static func merge(
        given: JSONObject, plain: JSONObject, stored: JSONObject, storedPlain: JSONObject
    ) throws(NeededAgain) -> JSONObject {
        var merged = given
        var needed: [String] = []
        for name in whole where given[name] == nil {
            guard let kept = stored[name] else { continue }
            if target(plain) == target(storedPlain) { merged[name] = kept } else { needed.append(name) }
        }
        for name in ["url", "connectionString"] where given[name] == nil {
            guard let kept = stored[name], let now = plain[name]?.string else { continue }
            if now == storedPlain[name]?.string {
                merged[name] = kept
            } else {
                needed.append(name)
            }
        }
        if let kept = stored["headers"]?.object, let shown = plain["headers"]?.object {
            var headers = given["headers"]?.object ?? JSONObject()
            for name in shown.names where headers[name] == nil {
                guard let value = kept[name] else { continue }
                if target(plain) == target(storedPlain) {
                    headers[name] = value
                } else {
                    needed.append("headers.\(name)")
                }
            }
            if !headers.isEmpty { merged["headers"] = .object(headers) }
        }
        guard needed.isEmpty else { throw NeededAgain(members: needed) }
        return merged
    }

    struct NeededAgain: Error { var members: [String] }

    /// Who the secrets are sent to.
    private static func target(_ plain: JSONObject) -> String {
        if let host = plain["host"]?.string { return host.lowercased() }
        guard let url = plain["url"]?.string, let parts = URLComponents(string: url) else { return "" }
        return "\(parts.scheme ?? "")://\(parts.host ?? "")".lowercased()
    }

    private static func withoutPassword(url: String) -> String {
        guard var parts = URLComponents(string: url), parts.password != nil else { return url }
        parts.password = nil
        return parts.string ?? ""
    }

    /// Cuts `PWD=...;` and `Password=...;`, values in braces included.
    private static func withoutPassword(connectionString: String) -> String {
        connectionString.replacing(/(?i)(^|;)\s*(pwd|password)\s*=\s*(\{(\}\}|[^}])*\}|[^;]*)/) { String($0.output.1) }
            .replacing(";;", with: ";")
    }
}
