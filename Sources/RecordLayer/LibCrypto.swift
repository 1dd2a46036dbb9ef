import CLibCrypto

/// libcrypto's algorithms, looked up once for the process: a look-up takes locks, and longer than a short record.
enum LibCrypto {
    /// What a look-up gave. libcrypto never changes these objects, and counts references to them atomically, so threads
    /// may share them. They live as long as the process.
    private struct Algorithm: @unchecked Sendable {
        let pointer: OpaquePointer?

        init(cipher name: String) { pointer = EVP_CIPHER_fetch(nil, name, nil) }
        init(digest name: String) { pointer = EVP_MD_fetch(nil, name, nil) }
    }

    private static let aes128GCM = Algorithm(cipher: "AES-128-GCM")
    private static let aes256GCM = Algorithm(cipher: "AES-256-GCM")
    private static let chaCha20Poly1305 = Algorithm(cipher: "ChaCha20-Poly1305")
    private static let sha256 = Algorithm(digest: "SHA2-256")
    private static let sha384 = Algorithm(digest: "SHA2-384")

    /// "tag", as libcrypto's parameters name it; a C string that is never freed.
    static var tagName: UnsafePointer<CChar> { tag.pointer }
    private static let tag = Name("tag")

    private struct Name: @unchecked Sendable {
        let pointer: UnsafePointer<CChar>

        init(_ name: StaticString) {
            pointer = UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
        }
    }

    /// Nil if this system's libcrypto does not offer the cipher: ChaCha20-Poly1305 where only FIPS algorithms are allowed.
    static func algorithm(_ cipher: RecordCipher) -> OpaquePointer? {
        switch cipher {
        case .aes128GCM: return aes128GCM.pointer
        case .aes256GCM: return aes256GCM.pointer
        case .chaCha20Poly1305: return chaCha20Poly1305.pointer
        }
    }

    static func algorithm(_ hash: RecordHash) -> OpaquePointer? {
        hash == .sha256 ? sha256.pointer : sha384.pointer
    }
}
