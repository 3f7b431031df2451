import Foundation
import ServiceRuntime
import Testing

struct ConfigurationTests {
    private enum Colour: String, CaseIterable { case red, blue }

    @Test func everyProblemIsReportedAtOnce() {
        var reader = ConfigurationReader(
            Environment(["PORT": "http", "COLOUR": "green", "URL": "ftp://x", "FLAG": "maybe", "RATE": "7"]))
        #expect(reader.integer("PORT", default: 1, in: 0...65535) == 1)
        _ = reader.choice("COLOUR", default: Colour.red)
        _ = reader.url("URL", default: "http://a", schemes: ["http"])
        _ = reader.flag("FLAG", default: false)
        _ = reader.number("RATE", default: 0.5, in: 0...1)
        _ = reader.required("DATABASE_URL", example: "postgresql://...")
        #expect {
            try reader.finish()
        } throws: { error in
            let problems = (error as? ConfigurationError)?.problems ?? []
            return ["PORT", "COLOUR", "URL", "FLAG", "RATE", "DATABASE_URL"].allSatisfy { name in
                problems.contains { $0.hasPrefix(name) }
            } && problems.count == 6
        }
    }

    @Test func anEmptyValueIsNone() throws {
        var reader = ConfigurationReader(Environment(["PORT": ""]))
        #expect(reader.integer("PORT", default: 8000, in: 1...65535) == 8000)
        try reader.finish()
    }

    @Test func aSecretIsReadFromItsFileWithoutTheLastNewline() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
        try "hunter2\n".write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        var reader = ConfigurationReader(Environment(["KEY_FILE": path]))
        #expect(reader.secret("KEY") == "hunter2")
        try reader.finish()
    }

    @Test func aSecretGivenTwiceOrInAMissingFileIsAProblemThatDoesNotShowIt() {
        var reader = ConfigurationReader(
            Environment(["A": "hunter2", "A_FILE": "/nowhere/a", "B_FILE": "/nowhere/b"]))
        _ = reader.secret("A")
        _ = reader.secret("B")
        #expect {
            try reader.finish()
        } throws: { "\($0)".contains("A and A_FILE") && "\($0)".contains("/nowhere/b") && !"\($0)".contains("hunter2") }
    }
}
