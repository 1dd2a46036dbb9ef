import Crypto
import SwiftASN1

/// The secret numbers inside a site's private key, or of a session: what the key holder alone may have.
struct SiteSecrets: Sendable {
    struct Part: Sendable, Equatable {
        /// As the standards call it: `d`, `p`, `qInv`, `seed`.
        var name: String
        /// The number, big endian without leading zeros; for Ed25519 the bytes as they stand.
        var bytes: [UInt8]
    }

    var parts: [Part]
    /// Lines of the PEM text that encode secret bytes.
    var pemLines: [[UInt8]]

    enum Failure: Error, CustomStringConvertible {
        case unsupported
        var description: String { "the key is not a PKCS#8 key for P-256, RSA or Ed25519" }
    }

    /// Secrets that are no key of a file.
    init(parts: [Part]) {
        self.parts = parts
        self.pemLines = []
    }

    /// Takes a PKCS#8 key apart (RFC 5958; RFC 5915 for P-256, RFC 8017 A.1.2 for RSA, RFC 8410 for Ed25519).
    init(pkcs8PEM: String) throws {
        let document = try PEMDocument(pemString: pkcs8PEM)
        let info = try PKCS8(derEncoded: document.derBytes)
        switch info.algorithm {
        case [1, 2, 840, 10045, 2, 1]:
            self.parts = [Part(name: "d", bytes: try ECKey(derEncoded: info.key).d)]
        case [1, 2, 840, 113549, 1, 1, 1]:
            self.parts = try RSAKey(derEncoded: info.key).parts
        case [1, 3, 101, 112]:
            let seed = Array(try ASN1OctetString(derEncoded: info.key).bytes)
            // RFC 8032 §5.1.5: the first half of the hash is the secret scalar, the second keys the nonces.
            let expanded = Array(SHA512.hash(data: seed))
            self.parts = [
                Part(name: "seed", bytes: seed),
                Part(name: "scalar", bytes: Self.clamped(expanded[..<32])),
                Part(name: "prefix", bytes: Array(expanded[32...])),
            ]
        default:
            throw Failure.unsupported
        }
        self.pemLines = Self.secretLines(of: pkcs8PEM, der: document.derBytes, parts: self.parts)
    }

    private static func clamped(_ half: ArraySlice<UInt8>) -> [UInt8] {
        var scalar = Array(half)
        scalar[0] &= 0xF8
        scalar[31] = scalar[31] & 0x7F | 0x40
        return scalar
    }

    /// The base64 lines of which at least 16 of up to 48 bytes are secret. Others hold public numbers.
    private static func secretLines(of pem: String, der: [UInt8], parts: [Part]) -> [[UInt8]] {
        var secret: [Bool] = Array(repeating: false, count: der.count)
        for part in parts {
            guard let start = der.firstRange(of: part.bytes) else { continue }
            for index in start { secret[index] = true }
        }
        let lines = pem.split(separator: "\n").filter { !$0.hasPrefix("-----") }
        var result: [[UInt8]] = []
        var offset = 0
        for line in lines {
            let end = min(der.count, offset + line.utf8.count / 4 * 3)
            if offset < end, secret[offset..<end].count(where: { $0 }) >= 16 {
                result.append(Array(line.utf8))
            }
            offset = end
        }
        return result
    }
}

/// The outer layer of a private key file: which algorithm, and the algorithm's own key structure.
private struct PKCS8: DERParseable {
    var algorithm: ASN1ObjectIdentifier
    var key: ArraySlice<UInt8>

    init(derEncoded node: ASN1Node) throws {
        self = try DER.sequence(node, identifier: .sequence) { nodes in
            _ = try Int(derEncoded: &nodes)
            guard let identifier = nodes.next() else { throw SiteSecrets.Failure.unsupported }
            let algorithm = try DER.sequence(identifier, identifier: .sequence) { inner in
                let oid = try ASN1ObjectIdentifier(derEncoded: &inner)
                while inner.next() != nil {}
                return oid
            }
            let key = try ASN1OctetString(derEncoded: &nodes).bytes
            while nodes.next() != nil {}
            return PKCS8(algorithm: algorithm, key: key)
        }
    }

    private init(algorithm: ASN1ObjectIdentifier, key: ArraySlice<UInt8>) {
        self.algorithm = algorithm
        self.key = key
    }
}

private struct ECKey: DERParseable {
    var d: [UInt8]

    init(derEncoded node: ASN1Node) throws {
        self.d = try DER.sequence(node, identifier: .sequence) { nodes in
            _ = try Int(derEncoded: &nodes)
            let d = Array(try ASN1OctetString(derEncoded: &nodes).bytes)
            while nodes.next() != nil {}
            return d
        }
    }
}

private struct RSAKey: DERParseable {
    var parts: [SiteSecrets.Part]

    init(derEncoded node: ASN1Node) throws {
        self.parts = try DER.sequence(node, identifier: .sequence) { nodes in
            _ = try Int(derEncoded: &nodes)
            let names = ["n", "e", "d", "p", "q", "dP", "dQ", "qInv"]
            let parts: [SiteSecrets.Part] = try names.map { name in
                let number = try ArraySlice<UInt8>(derEncoded: &nodes)
                return SiteSecrets.Part(name: name, bytes: Array(number.drop { $0 == 0 }))
            }
            while nodes.next() != nil {}
            return parts.filter { $0.name != "n" && $0.name != "e" }
        }
    }
}
