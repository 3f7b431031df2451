extension ClientRequest {
    /// A name as one segment of a path: all but RFC 3986's unreserved characters is percent-encoded.
    package static func segment(_ name: String) -> String {
        var text = ""
        for byte in name.utf8 {
            switch byte {
            case 48...57, 65...90, 97...122, 45, 46, 95, 126: text.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                text += byte < 16 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return text
    }
}
