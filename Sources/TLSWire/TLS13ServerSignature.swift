/// What a TLS 1.3 server signs in CertificateVerify (RFC 8446 §4.4.3).
///
/// A key holder rebuilds this content from the transcript hash alone. So it can sign nothing but a TLS 1.3 server's
/// handshake: the prefix is there to keep these signatures apart from those of every other protocol.
public enum TLS13ServerSignature {
    /// 64 spaces, the context string and a zero byte: 98 bytes.
    private static let prefix: [UInt8] =
        [UInt8](repeating: 0x20, count: 64) + Array("TLS 1.3, server CertificateVerify".utf8) + [0]

    /// The content to sign for a transcript hash of 32 (SHA-256) or 48 bytes (SHA-384).
    public static func content(transcriptHash: [UInt8]) -> [UInt8] {
        prefix + transcriptHash
    }

    /// The transcript hash in such a content; nil if it is anything else, or the hash isn't 32 or 48 bytes long.
    public static func transcriptHash(fromContent content: [UInt8]) -> [UInt8]? {
        let count: Int = content.count - prefix.count
        guard count == 32 || count == 48, content[..<prefix.count] == prefix[...] else { return nil }
        return Array(content[prefix.count...])
    }
}
