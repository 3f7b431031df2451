import FastJSON
import Testing
import WireProtocol

@testable import Datasources

/// A body that is right in every member; a test spoils one.
func draftBody(_ changes: [String: JSONValue] = [:]) -> JSONValue {
    var body: JSONObject = JSONObject([
        ("name", "Catalogue"), ("type", "postgresql"),
        (
            "connectionConfig",
            ["host": "db.internal", "port": 5432, "database": "shop", "user": "reader", "password": "s3cret-canary"]
        ),
        ("queryTemplate", "SELECT * FROM products WHERE id > {{after}} ORDER BY id LIMIT {{limit}}"),
        (
            "fieldMapping",
            ["id": "sku", "updatedAt": "changed_at", "title": "name", "brand": "brand", "price": "price"]
        ),
        ("embeddingFields", ["title", "brand"]), ("qdrantCollection", "products"),
    ])
    for (name, value) in changes { body[name] = value }
    return .object(body)
}

@Suite struct DatasourceDraftTests {
    private func problems(_ body: JSONValue) -> [String] {
        do {
            _ = try DatasourceDraft(body)
            return []
        } catch {
            guard case .invalid(let problems) = error else { return ["\(error)"] }
            return problems.map(\.field)
        }
    }

    @Test func acceptsACompleteDatasource() throws {
        let draft = try DatasourceDraft(draftBody())
        #expect(draft.mapping.key == "sku")
        #expect(draft.mapping.updatedAt == "changed_at")
        #expect(draft.mapping.fields.map(\.name) == ["title", "brand", "price"])
        #expect(draft.status == .active)
    }

    @Test func namesAllProblemsAtOnce() {
        let found = problems(
            draftBody([
                "name": "", "connectionConfig": ["host": "a,b", "port": 99999, "hots": "x"],
                "fieldMapping": ["title": "name"],
                "embeddingFields": ["title", "nothing"], "qdrantCollection": "no spaces", "webhookEnabled": "yes",
                "embedding": ["provider": "magic", "model": "a|b", "template": "{{title}} {{gone}}"], "colour": 1,
            ]))
        for field in [
            "colour", "name", "connectionConfig.hots", "connectionConfig.host", "connectionConfig.database",
            "connectionConfig.user",
            "connectionConfig.port", "fieldMapping.id", "embeddingFields[1]", "embedding.provider",
            "embedding.model",
            "embedding.template",
            "qdrantCollection", "webhookEnabled",
        ] { #expect(found.contains(field), "\(field) in \(found)") }
    }

    @Test func refusesOperationsThatNeedTheWholeDataset() throws {
        for name in ["sort", "limit", "deduplicate"] {
            let body = draftBody([
                "processing": [["operation": "trim", "fields": ["name"]], ["operation": .string(name)]]
            ])
            #expect(problems(body) == ["processing[1]"])
        }
        #expect(problems(draftBody(["processing": [["operation": "trim"]]])).isEmpty)
    }

    @Test func aFileNeedsNoQueryAndItsPathStaysInside() {
        func file(_ config: JSONValue) -> JSONValue {
            draftBody(["type": "csv", "queryTemplate": nil, "connectionConfig": config])
        }
        #expect(problems(file([:])).isEmpty)
        #expect(
            problems(file(["path": "catalogue/products.csv.gz", "delimiter": "tab", "encoding": "windows-1252"]))
                .isEmpty)
        #expect(problems(file(["path": "../etc/passwd"])) == ["connectionConfig.path"])
        #expect(problems(file(["path": "/etc/passwd"])) == ["connectionConfig.path"])
        #expect(problems(file(["delimiter": "\""])) == ["connectionConfig.delimiter"])
        #expect(problems(file(["encoding": "utf-7"])) == ["connectionConfig.encoding"])
    }

    @Test func aDatabaseNeedsAQueryOrATable() {
        #expect(problems(draftBody(["queryTemplate": nil])) == ["queryTemplate"])
        let table: JSONValue = ["host": "h", "database": "d", "user": "u", "table": "products"]
        #expect(problems(draftBody(["queryTemplate": nil, "connectionConfig": table])).isEmpty)
    }

    @Test(arguments: ["sslmode=sometimes", "sslmode", "options=-c%20x"])
    func anAddressHasNoParameterThatNobodyReads(parameter: String) {
        func address(_ parameters: String) -> [String] {
            problems(draftBody(["connectionConfig": ["url": .string("postgresql://u:p@h/d" + parameters)]]))
        }
        #expect(address("?" + parameter) == ["connectionConfig.url"])
        #expect(address("?sslmode=require").isEmpty && address("").isEmpty)
    }

    @Test func namesOfFieldsThatAreTheSuitesOwnAreRefused() {
        #expect(
            problems(draftBody(["fieldMapping": ["id": "sku", "title": "name", "brand": "b", "_key": "x"]])) == [
                "fieldMapping._key"
            ])
    }

    @Test func anythingButAnObjectIsRefused() {
        #expect(problems([1, 2]) == [""])
    }
}

@Suite struct ConnectionSecretsTests {
    @Test func nothingSecretStaysInThePlainPart() {
        let cases: [JSONObject] = [
            JSONObject([("host", "h"), ("password", "CANARY")]),
            JSONObject([("url", "postgresql://u:CANARY@h:5432/d?sslmode=require")]),
            JSONObject([("connectionString", "Driver={FreeTDS};Server=h;UID=u;PWD={CAN}}ARY};Database=d")]),
            JSONObject([("connectionString", "DSN=x;Password=CANARY")]),
            JSONObject([("url", "https://api"), ("headers", ["Authorization": "Bearer CANARY"])]),
        ]
        for config in cases {
            let (plain, secrets) = ConnectionSecrets.split(config)
            let shown = JSONValue.object(plain).serialized
            #expect(!shown.contains("CANARY") && !shown.contains("ARY"), "\(shown)")
            #expect(ConnectionSecrets.join(plain, secrets) == config)
        }
    }

    @Test func aSecretIsKeptForItsServerOnly() throws {
        let stored = ConnectionSecrets.split(JSONObject([("host", "h"), ("user", "u"), ("password", "p")]))
        let same = ConnectionSecrets.split(JSONObject([("host", "h"), ("user", "other")]))
        #expect(
            try ConnectionSecrets.merge(
                given: same.secrets, plain: same.plain, stored: stored.secrets, storedPlain: stored.plain)
                == stored.secrets)
        let moved = ConnectionSecrets.split(JSONObject([("host", "attacker"), ("user", "u")]))
        #expect(throws: ConnectionSecrets.NeededAgain.self) {
            try ConnectionSecrets.merge(
                given: moved.secrets, plain: moved.plain, stored: stored.secrets, storedPlain: stored.plain)
        }
    }
}
