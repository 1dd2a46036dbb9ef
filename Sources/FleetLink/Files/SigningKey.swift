public import Crypto
public import FleetBus
internal import Foundation
public import SecretFiles
internal import SwiftASN1

/// A key that signs purges, and its file: an Ed25519 private key as PKCS #8 in PEM (RFC 8410), which is what
/// `openssl genpkey -algorithm ed25519` writes too.
public struct SigningKey: Sendable {
    public let key: Curve25519.Signing.PrivateKey
    /// Where it is; beside it is the file that counts its orders.
    public let path: String

    public var publicKey: SignerKey { SignerKey(self.key) }

    public enum Failure: Error, Equatable, CustomStringConvertible {
        case secretFile(SecretFileError)
        case notAKey(String)
        case exists(String)
        case notWritten(String)

        public var description: String {
            switch self {
            case .secretFile(let error): error.description
            case .notAKey(let path):
                "\"\(path)\" holds no Ed25519 private key. Make one: latchstring fleet key --out FILE"
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
    public init(path: String) throws(Failure) {
        let text: String
        do throws(SecretFileError) { text = try SecretFile.read(path) } catch { throw .secretFile(error) }
        guard let document = try? PEMDocument(pemString: text), document.discriminator == "PRIVATE KEY",
            document.derBytes.count == 48, document.derBytes.starts(with: Self.prefix),
            let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: Data(document.derBytes.suffix(32)))
        else { throw .notAKey(path) }
        self.key = key
        self.path = path
    }

    /// Makes a key and its file, readable by its owner alone. Nothing is overwritten.
    public static func make(path: String) throws(Failure) -> SigningKey {
        let key = Curve25519.Signing.PrivateKey()
        let document = PEMDocument(type: "PRIVATE KEY", derBytes: Self.prefix + Array(key.rawRepresentation))
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            if errno == EEXIST { throw .exists(path) }
            throw .notWritten("cannot create \(path): \(String(cString: strerror(errno)))")
        }
        let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
        do {
            try handle.write(contentsOf: Data((document.pemString + "\n").utf8))
            try handle.synchronize()
            try handle.close()
        } catch {
            unlink(path)
            throw .notWritten("cannot write \(path): \(error.localizedDescription)")
        }
        return try SigningKey(path: path)
    }
}

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif
