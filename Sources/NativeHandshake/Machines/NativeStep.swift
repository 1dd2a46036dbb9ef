/// What a machine did, for people who want to follow: the values are the real ones, shortened to their first four bytes.
public enum NativeStep: Equatable, Sendable {
    case helloMade(nonce: String)
    case helloRead(NativeVariant, serverName: String, nonce: String)
    case certificateInformationMade(NativeSuite, NativeKeyKind, certificates: Int, originRandom: String)
    case certificateInformationRead(NativeSuite, NativeKeyKind, certificates: Int, originRandom: String)
    /// The signature over the certificate information, or over the second random.
    case proofMade(bytes: Int)
    case proofVerified(bytes: Int)
    case firstRandomMade(String)
    case symmetricKeyDerived(String)
    /// The first random or the symmetric key, encrypted to the certificate's key.
    case secretEncrypted(bytes: Int)
    case secretReceived(bytes: Int)
    case secretDecrypted
    case secondRandomMade(String)
    case secondRandomRead(String)
    case finishedMade
    case finishedVerified

    /// The first four bytes, in hexadecimal.
    static func short(_ bytes: some Sequence<UInt8>) -> String {
        bytes.prefix(4).map { byte in
            let text = String(byte, radix: 16)
            return text.count == 1 ? "0" + text : text
        }.joined() + "…"
    }
}
