import Foundation
import WireProtocol

struct NormalizeUnicode: TextOperation {
    static let name = "normalize_unicode"
    static let about = "Brings texts into a Unicode normalization form, and strips accents when asked to."
    static let parameters = [
        Parameter.textFields,
        .optional("form", .choice(Form.allCases.map(\.rawValue)), default: "NFC", "The normalization form."),
        .optional("strip_accents", .boolean, default: false, "Remove combining marks: é becomes e."),
    ]
    enum Form: String, CaseIterable { case nfc = "NFC", nfkc = "NFKC", nfd = "NFD", nfkd = "NFKD" }
    let fields: [String]?
    private let form: Form
    private let stripsAccents: Bool

    init(_ parameters: Parameters) {
        fields = parameters.texts("fields")
        form = Form(rawValue: parameters.text("form")) ?? .nfc
        stripsAccents = parameters.flag("strip_accents")
    }

    func transform(_ text: String) -> String {
        guard text.utf8.contains(where: { $0 >= 0x80 }) else { return text }  // ASCII has all forms
        return stripsAccents ? normalized(Self.withoutMarks(text)) : normalized(text)
    }

    private func normalized(_ text: String) -> String {
        switch form {
        case .nfc: text.precomposedStringWithCanonicalMapping
        case .nfkc: text.precomposedStringWithCompatibilityMapping
        case .nfd: text.decomposedStringWithCanonicalMapping
        case .nfkd: text.decomposedStringWithCompatibilityMapping
        }
    }

    private static func withoutMarks(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        for scalar in text.decomposedStringWithCanonicalMapping.unicodeScalars
        where scalar.properties.generalCategory != .nonspacingMark {
            result.append(scalar)
        }
        return String(result)
    }
}
