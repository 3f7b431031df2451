import Foundation
import Testing
import WireProtocol

struct WireNamingTests {
    static let types: [any WireType.Type] = [WorkMessage.self, EmbeddingSpace.self, RecordBatch.Header.self]

    @Test(arguments: types.indices) func everyKeyIsSpelledAsItsSurfaceSays(_ index: Int) throws {
        let type = Self.types[index]
        let example = try JSONSerialization.jsonObject(with: JSONEncoder().encode(type.example))
        func check(_ value: Any) {
            if let object = value as? [String: Any] {
                for (key, child) in object {
                    let isRight =
                        switch type.naming {
                        case .snakeCase: key.wholeMatch(of: /[a-z0-9]+(_[a-z0-9]+)*/) != nil
                        case .camelCase: key.wholeMatch(of: /[a-z][A-Za-z0-9]*/) != nil
                        }
                    #expect(isRight, "\(type): \(key)")
                    check(child)
                }
            } else if let array = value as? [Any] {
                array.forEach(check)
            }
        }
        check(example)
    }
}
