import CLibCrypto
import SecretFiles

/// Private keys that are encrypted with a passphrase: PKCS #8's EncryptedPrivateKeyInfo (RFC 5958), in the ways that libcrypto knows,
/// PBES2 (RFC 8018) among them.
enum EncryptedKey {
    /// Bytes of a passphrase.
    static let longestPassphrase: Int = 1024

    /// - Parameters:
    ///   - der: EncryptedPrivateKeyInfo.
    ///   - name: For messages.
    ///   - passphraseFile: A secret file; a line break at its end does not belong to the passphrase.
    /// - Returns: PrivateKeyInfo, DER. The caller wipes it.
    static func decrypt(
        _ der: [UInt8], _ name: String, passphraseFile: String
    ) throws(SiteLoadError) -> [UInt8] {
        let bytes: [UInt8]
        do throws(SecretFileError) { bytes = try SecretFile.bytes(passphraseFile) } catch { throw .secretFile(error) }
        defer { SecretFile.wipe(bytes) }
        let line = bytes.last == 0x0A ? bytes.dropLast() : bytes[...]
        let passphrase = Array(line.last == 0x0D ? line.dropLast() : line)
        defer { SecretFile.wipe(passphrase) }
        guard (1...Self.longestPassphrase).contains(passphrase.count),
            let key = Self.decrypt(der, passphrase: passphrase)
        else { throw .wrongPassphrase(name, passphraseFile: passphraseFile) }
        return key
    }

    private static func decrypt(_ der: [UInt8], passphrase: [UInt8]) -> [UInt8]? {
        defer { ERR_clear_error() }
        let encrypted: OpaquePointer? = der.withUnsafeBufferPointer { der in
            var start: UnsafePointer<UInt8>? = der.baseAddress
            return d2i_X509_SIG(nil, &start, der.count)
        }
        guard let encrypted else { return nil }
        defer { X509_SIG_free(encrypted) }
        let information: OpaquePointer? = passphrase.withUnsafeBytes {
            PKCS8_decrypt(encrypted, $0.bindMemory(to: CChar.self).baseAddress, CInt($0.count))
        }
        guard let information else { return nil }
        defer { PKCS8_PRIV_KEY_INFO_free(information) }
        var output: UnsafeMutablePointer<UInt8>?
        let length = i2d_PKCS8_PRIV_KEY_INFO(information, &output)
        guard length > 0, let output else { return nil }
        defer { CRYPTO_clear_free(output, Int(length), nil, 0) }
        return Array(UnsafeBufferPointer(start: output, count: Int(length)))
    }
}
