import Crypto
import TLSWire

extension TLS12ServerKeyExchange {
    /// Whether the server's public point lies on its curve, so that it takes a real key exchange to fill it in. Every
    /// 32 bytes are a key for x25519.
    var isOnCurve: Bool {
        // 3, the group and the length stand before it.
        let point: ArraySlice<UInt8> = self.parameters.dropFirst(4)
        switch self.group {
        case TLSGroup.secp256r1: return (try? P256.KeyAgreement.PublicKey(x963Representation: point)) != nil
        case TLSGroup.secp384r1: return (try? P384.KeyAgreement.PublicKey(x963Representation: point)) != nil
        case TLSGroup.x25519: return true
        default: return false
        }
    }
}
