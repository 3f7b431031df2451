import COpenSSL

/// Secrets at rest: AES-256-GCM as `v1.<key id>.<nonce>.<ciphertext and tag>`, the place where the secret lies as additional data,
/// so that a ciphertext moved to another row or column does not open. The first key seals; all open.
package struct KeyRing: Sendable {
    private struct Key: Sendable {
        var id: String
        var bytes: [UInt8]
    }
    private let keys: [Key]

    package enum Failure: Error, Equatable, CustomStringConvertible {
        case unreadableKeys(String)
        case unknownKey(id: String)
        case malformed
        case tampered
        package var description: String {
            switch self {
            case .unreadableKeys(let reason): "key ring: \(reason)"
            case .unknownKey(let id): "key ring: no key \(id): was SECRETS_KEY replaced instead of extended?"
            case .malformed: "key ring: not a sealed secret"
            case .tampered: "key ring: the secret was changed, moved, or sealed with another key of the same id"
            }
        }
    }

    /// `specification`: keys of 32 bytes as base64 or 64 hex digits, separated by commas, the current one first (`SECRETS_KEY`).
    package init(specification: String) throws(Failure) {
        var keys: [Key] = []
        for part in specification.split(separator: ",") {
            let text = String(part).trimmingPrefix(" ")
            guard let bytes = Hex.decode(String(text)) ?? Base64.decode(String(text)), bytes.count == 32 else {
                throw .unreadableKeys("each key must be 32 bytes, as base64 or as 64 hex digits")
            }
            keys.append(Key(id: Hex.encode(SHA256Digest.hash(bytes).prefix(4)), bytes: bytes))
        }
        guard !keys.isEmpty else { throw .unreadableKeys("no key") }
        self.keys = keys
    }

    /// `context` names the place: `datasources|<id>|connection_config`.
    package func seal(_ plain: [UInt8], context: String) -> String {
        let nonce = SecureRandom.bytes(12)
        let sealed = Self.encrypt(plain, key: keys[0].bytes, nonce: nonce, additional: Array(context.utf8))
        return "v1.\(keys[0].id).\(Base64.urlEncode(nonce)).\(Base64.urlEncode(sealed))"
    }

    package func open(_ sealed: String, context: String) throws(Failure) -> [UInt8] {
        let parts = sealed.split(separator: ".").map(String.init)
        guard parts.count == 4, parts[0] == "v1", let nonce = Self.urlDecode(parts[2]), nonce.count == 12,
            let bytes = Self.urlDecode(parts[3]), bytes.count >= 16
        else { throw .malformed }
        guard let key = keys.first(where: { $0.id == parts[1] }) else { throw .unknownKey(id: parts[1]) }
        guard let plain = Self.decrypt(bytes, key: key.bytes, nonce: nonce, additional: Array(context.utf8)) else {
            throw .tampered
        }
        return plain
    }

    private static func urlDecode(_ text: String) -> [UInt8]? {
        let padded = text.replacing("-", with: "+").replacing("_", with: "/")
        return Base64.decode(padded + String(repeating: "=", count: (4 - padded.count % 4) % 4))
    }

    private static func encrypt(_ plain: [UInt8], key: [UInt8], nonce: [UInt8], additional: [UInt8]) -> [UInt8] {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        var length: Int32 = 0
        var output = [UInt8](repeating: 0, count: plain.count + 16)
        EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), nil, key, nonce)
        EVP_EncryptUpdate(context, nil, &length, additional, Int32(additional.count))
        EVP_EncryptUpdate(context, &output, &length, plain, Int32(plain.count))
        var tag = [UInt8](repeating: 0, count: 16)
        EVP_EncryptFinal_ex(context, &tag, &length)
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, 16, &tag)
        output.replaceSubrange(plain.count..., with: tag)
        return output
    }

    private static func decrypt(_ sealed: [UInt8], key: [UInt8], nonce: [UInt8], additional: [UInt8]) -> [UInt8]? {
        let context = EVP_CIPHER_CTX_new()
        defer { EVP_CIPHER_CTX_free(context) }
        let size = sealed.count - 16
        var length: Int32 = 0
        var output = [UInt8](repeating: 0, count: size + 16)
        var tag = Array(sealed[size...])
        EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), nil, key, nonce)
        EVP_DecryptUpdate(context, nil, &length, additional, Int32(additional.count))
        EVP_DecryptUpdate(context, &output, &length, sealed, Int32(size))
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, 16, &tag)
        var rest = [UInt8](repeating: 0, count: 16)
        guard EVP_DecryptFinal_ex(context, &rest, &length) == 1 else { return nil }
        return Array(output[..<size])
    }
}
