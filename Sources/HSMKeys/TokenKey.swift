import Crypto
import CryptoExtras
import HSMWire
import KeyHolder
import TLSWire
import X509

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// A private key on a token. It signs handshakes; it does not decrypt, and does nothing for stock peers.
///
/// Each signature is verified before it leaves: a module that gives a wrong one, by mistake or by a fault in its computation, does no
/// harm with it.
struct TokenKey: StoredKey {
    /// The public half, in the form that verifies.
    private enum Verifier: Sendable {
        case p256(P256.Signing.PublicKey)
        case p384(P384.Signing.PublicKey)
        case rsa(_RSA.Signing.PublicKey)
    }

    let type: KeyType
    let publicKey: Certificate.PublicKey
    private let verifier: Verifier
    private let selection: KeySelection
    private let pool: WorkerPool

    /// - Parameter publicKey: Of the certificate.
    /// - Returns: nil for a key of another kind than P-256, P-384 and RSA of 2048 to 4096 bits.
    init?(_ selection: KeySelection, of publicKey: Certificate.PublicKey, in pool: WorkerPool) {
        if let key = P256.Signing.PublicKey(publicKey) {
            self.verifier = .p256(key)
            self.type = .p256
        } else if let key = P384.Signing.PublicKey(publicKey) {
            self.verifier = .p384(key)
            self.type = .p384
        } else if let key = _RSA.Signing.PublicKey(publicKey), (2048...4096).contains(key.keySizeInBits) {
            self.verifier = .rsa(key)
            self.type = .rsa(bits: key.keySizeInBits)
        } else {
            return nil
        }
        self.publicKey = publicKey
        self.selection = selection
        self.pool = pool
    }

    var signsHandshakesOnly: Bool { true }

    func cost(of operation: KeyOperation) -> KeyOperationCost { .device(self.pool.device) }

    func perform(_ operation: KeyOperation) throws(KeyOperationError) -> [UInt8] {
        guard case .sign(let scheme, let content) = operation, self.type.schemes.contains(scheme) else {
            throw .wrongKeyType
        }
        do throws(HSMError) {
            return try self.sign(scheme, content.bytes)
        } catch {
            self.pool.noted(error)
            throw .failed
        }
    }

    /// - Parameter occasion: Whether this is at a start or reload.
    func sign(
        _ scheme: SignatureScheme, _ content: [UInt8], _ occasion: PINGate.Occasion = .restart
    ) throws(HSMError) -> [UInt8] {
        switch scheme {
        case .ecdsaP256SHA256: try self.ecdsa(SHA256.hash(data: content), occasion)
        case .ecdsaP384SHA384: try self.ecdsa(SHA384.hash(data: content), occasion)
        case .rsaPSSSHA256: try self.pss(.rsaPSSSHA256, SHA256.hash(data: content), occasion)
        case .rsaPSSSHA384: try self.pss(.rsaPSSSHA384, SHA384.hash(data: content), occasion)
        case .rsaPSSSHA512: try self.pss(.rsaPSSSHA512, SHA512.hash(data: content), occasion)
        case .rsaPKCS1SHA256: try self.pkcs1(.sha256, SHA256.hash(data: content), occasion)
        case .rsaPKCS1SHA384: try self.pkcs1(.sha384, SHA384.hash(data: content), occasion)
        case .rsaPKCS1SHA512: try self.pkcs1(.sha512, SHA512.hash(data: content), occasion)
        default: throw .failure(TokenFailure(.request, detail: "\(scheme)"))
        }
    }

    private func ecdsa(_ digest: some Digest, _ occasion: PINGate.Occasion) throws(HSMError) -> [UInt8] {
        var encoded: [UInt8] = []
        _ = try self.pool.sign(self.selection, .ecdsa, Array(digest), occasion) { raw in
            encoded = self.verified(raw, digest)
            return !encoded.isEmpty
        }
        return encoded
    }

    /// As DER; empty if it is not the key's.
    private func verified(_ raw: [UInt8], _ digest: some Digest) -> [UInt8] {
        // Both numbers are as long as the curve's order; anything else is no signature.
        switch self.verifier {
        case .p256(let key):
            if raw.count == 64, let signature = try? P256.Signing.ECDSASignature(rawRepresentation: raw),
                key.isValidSignature(signature, for: digest)
            {
                return Array(signature.derRepresentation)
            }
        case .p384(let key):
            if raw.count == 96, let signature = try? P384.Signing.ECDSASignature(rawRepresentation: raw),
                key.isValidSignature(signature, for: digest)
            {
                return Array(signature.derRepresentation)
            }
        case .rsa: break
        }
        return []
    }

    private func pss(
        _ mechanism: TokenMechanism, _ digest: some Digest, _ occasion: PINGate.Occasion
    ) throws(HSMError) -> [UInt8] {
        try self.pool.sign(self.selection, mechanism, Array(digest), occasion) { self.isGood($0, digest, .PSS) }
    }

    private func pkcs1(
        _ algorithm: DigestAlgorithm, _ digest: some Digest, _ occasion: PINGate.Occasion
    ) throws(HSMError) -> [UInt8] {
        try self.pool.sign(self.selection, .rsaPKCS1, algorithm.digestInfo(Array(digest)), occasion) {
            self.isGood($0, digest, .insecurePKCS1v1_5)
        }
    }

    private func isGood(_ raw: [UInt8], _ digest: some Digest, _ padding: _RSA.Signing.Padding) -> Bool {
        guard case .rsa(let key) = self.verifier, raw.count == (key.keySizeInBits + 7) / 8 else { return false }
        return key.isValidSignature(
            _RSA.Signing.RSASignature(rawRepresentation: Data(raw)), for: digest, padding: padding)
    }
}
