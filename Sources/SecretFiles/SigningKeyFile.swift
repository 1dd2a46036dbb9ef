public import Crypto
internal import SwiftASN1

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The file of a key that signs what this project says of itself (purges, checkpoints of an audit): an Ed25519 private key as PKCS #8
/// in PEM (RFC 8410), which is what `openssl genpkey -algorithm ed25519` writes too.
public enum SigningKeyFile {
    public enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
        case secretFile(SecretFileError)
        case notAKey(String)
        case exists(String)
        case notWritten(String)

        public var description: String {
            switch self {
            case .secretFile(let error): error.description
            case .notAKey(let path):
                "\"\(path)\" holds no Ed25519 private key. `latchstring fleet key` makes one for purges, `latchstring audit key` one for an audit"
            case .exists(let path): "\"\(path)\" is there already, and is not overwritten. Name another file"
            case .notWritten(let reason): reason
            }
        }
    }

    /// What stands before the 32 bytes of the key (RFC 8410 §7).
    private static let prefix: [UInt8] = [
        0x30, 0x2E, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ]

    /// Reads a key's file, which must meet the rule of ``SecretFile``.
    public static func read(_ path: String) throws(Failure) -> Curve25519.Signing.PrivateKey {
        let text: String
        do throws(SecretFileError) { text = try SecretFile.read(path) } catch { throw .secretFile(error) }
        guard let document = try? PEMDocument(pemString: text), document.discriminator == "PRIVATE KEY",
            document.derBytes.count == 48, document.derBytes.starts(with: Self.prefix),
            let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: Array(document.derBytes.suffix(32)))
        else { throw .notAKey(path) }
        return key
    }

    /// Makes a key and its file, readable by its owner alone. Nothing is overwritten.
    public static func make(_ path: String) throws(Failure) -> Curve25519.Signing.PrivateKey {
        let key = Curve25519.Signing.PrivateKey()
        let document = PEMDocument(type: "PRIVATE KEY", derBytes: Self.prefix + Array(key.rawRepresentation))
        do throws(SecretFile.WriteError) {
            try SecretFile.create(document.pemString + "\n", at: path)
        } catch {
            if error.number == EEXIST { throw .exists(path) }
            throw .notWritten("\(error)")
        }
        return try Self.read(path)
    }
}
