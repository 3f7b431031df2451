import Crypto
import Foundation
import Testing

struct CryptoTests {
    @Test func digestsAgreeWithTheStandards() {
        // FIPS 180-4 "abc".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        #expect(Hex.encode(SHA256Digest.hash("abc")) == abc)
        #expect(Hex.encode(SHA256Digest.hash(parts: ["a", "bc"])) == abc)
    }

    @Test func nameBasedIdsAgreeWithRFC9562() throws {
        let dns = try #require(UUID(uuidString: "6ba7b810-9dad-11d1-80b4-00c04fd430c8"))
        #expect(
            UUIDv5.make(namespace: dns, name: "www.example.com").uuidString == "2ED6657D-E927-568B-95E1-2665A8AEA6A2")
    }

    private let first = String(repeating: "ab", count: 32)
    private let second = String(repeating: "cd", count: 32)

    @Test func whatARingSealedItOpensAgain() throws {
        let ring = try KeyRing(specification: first)
        let sealed = ring.seal(Array("hunter2".utf8), context: "datasources|1|password")
        #expect(!sealed.contains("hunter2"))
        #expect(try ring.open(sealed, context: "datasources|1|password") == Array("hunter2".utf8))
        #expect(sealed != ring.seal(Array("hunter2".utf8), context: "datasources|1|password"))
    }

    @Test func aSecretThatWasMovedOrChangedDoesNotOpen() throws {
        let ring = try KeyRing(specification: first)
        let sealed = ring.seal([1, 2, 3], context: "here")
        #expect(throws: KeyRing.Failure.tampered) { try ring.open(sealed, context: "there") }
        var parts = sealed.split(separator: ".").map(String.init)
        parts[3] = (parts[3].hasPrefix("A") ? "B" : "A") + parts[3].dropFirst()
        #expect(throws: KeyRing.Failure.tampered) { try ring.open(parts.joined(separator: "."), context: "here") }
        #expect(throws: KeyRing.Failure.malformed) { try ring.open("hunter2", context: "here") }
    }

    @Test func anOlderKeyStillOpensAndAForeignOneIsNamed() throws {
        let old = try KeyRing(specification: first)
        let sealed = old.seal([7], context: "x")
        #expect(try KeyRing(specification: "\(second),\(first)").open(sealed, context: "x") == [7])
        let id = String(sealed.split(separator: ".")[1])
        #expect(throws: KeyRing.Failure.unknownKey(id: id)) {
            try KeyRing(specification: second).open(sealed, context: "x")
        }
        #expect(throws: KeyRing.Failure.self) { try KeyRing(specification: "short") }
    }

    @Test func secretsAreComparedWhole() {
        #expect(constantTimeEqual([1, 2], [1, 2]))
        #expect(!constantTimeEqual([1, 2], [1, 3]))
        #expect(!constantTimeEqual([1, 2], [1, 2, 3]))
    }
}
