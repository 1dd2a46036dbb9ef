import Crypto
import CryptoExtras
import TLSWire
import X509

/// Verifies what a key holder signed, with nothing but the certificate's public key.
enum SignatureProof {
    enum Verdict: Equatable {
        case genuine
        case forged
        /// The scheme does not go with the key in the certificate.
        case wrongScheme
    }

    /// Checks a signature over the content that a TLS 1.3 server signs for `transcriptHash` (RFC 8446 §4.4.3).
    static func verify(
        _ signature: [UInt8], scheme: SignatureScheme, transcriptHash: [UInt8], publicKey: Certificate.PublicKey
    ) -> Verdict {
        let content: [UInt8] = TLS13ServerSignature.content(transcriptHash: transcriptHash)
        switch scheme {
        case .ecdsaP256SHA256:
            guard let key = P256.Signing.PublicKey(publicKey) else { return .wrongScheme }
            guard let parsed = try? P256.Signing.ECDSASignature(derRepresentation: signature) else { return .forged }
            return key.isValidSignature(parsed, for: SHA256.hash(data: content)) ? .genuine : .forged
        case .ecdsaP384SHA384:
            guard let key = P384.Signing.PublicKey(publicKey) else { return .wrongScheme }
            guard let parsed = try? P384.Signing.ECDSASignature(derRepresentation: signature) else { return .forged }
            return key.isValidSignature(parsed, for: SHA384.hash(data: content)) ? .genuine : .forged
        case .ecdsaP521SHA512:
            guard let key = P521.Signing.PublicKey(publicKey) else { return .wrongScheme }
            guard let parsed = try? P521.Signing.ECDSASignature(derRepresentation: signature) else { return .forged }
            return key.isValidSignature(parsed, for: SHA512.hash(data: content)) ? .genuine : .forged
        case .ed25519:
            guard let key = Curve25519.Signing.PublicKey(publicKey) else { return .wrongScheme }
            return key.isValidSignature(signature, for: content) ? .genuine : .forged
        case .rsaPSSSHA256, .rsaPSSSHA384, .rsaPSSSHA512:
            guard let key = _RSA.Signing.PublicKey(publicKey) else { return .wrongScheme }
            let parsed = _RSA.Signing.RSASignature(rawRepresentation: signature)
            let holds: Bool
            switch scheme {
            case .rsaPSSSHA256: holds = key.isValidSignature(parsed, for: SHA256.hash(data: content), padding: .PSS)
            case .rsaPSSSHA384: holds = key.isValidSignature(parsed, for: SHA384.hash(data: content), padding: .PSS)
            default: holds = key.isValidSignature(parsed, for: SHA512.hash(data: content), padding: .PSS)
            }
            return holds ? .genuine : .forged
        default:
            return .wrongScheme
        }
    }

    /// Whether a TLS 1.3 server may sign its CertificateVerify so; PKCS #1 v1.5 is for TLS 1.2 only.
    static func isForTLS13(_ scheme: SignatureScheme) -> Bool {
        let known: [SignatureScheme] = [
            .ecdsaP256SHA256, .ecdsaP384SHA384, .ecdsaP521SHA512, .ed25519, .rsaPSSSHA256, .rsaPSSSHA384, .rsaPSSSHA512,
        ]
        return known.contains(scheme)
    }
}
