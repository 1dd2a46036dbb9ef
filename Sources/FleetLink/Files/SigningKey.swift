public import Crypto
public import FleetBus
public import SecretFiles

/// A key that signs purges, and its file.
public struct SigningKey: Sendable {
    public typealias Failure = SigningKeyFile.Failure

    public let key: Curve25519.Signing.PrivateKey
    /// Where it is; beside it is the file that counts its orders.
    public let path: String

    public var publicKey: SignerKey { SignerKey(self.key) }

    /// Reads a key's file, which must meet the rule of ``SecretFiles/SecretFile``.
    public init(path: String) throws(Failure) {
        self.key = try SigningKeyFile.read(path)
        self.path = path
    }

    /// Makes a key and its file, readable by its owner alone. Nothing is overwritten.
    public static func make(path: String) throws(Failure) -> SigningKey {
        _ = try SigningKeyFile.make(path)
        return try SigningKey(path: path)
    }
}
