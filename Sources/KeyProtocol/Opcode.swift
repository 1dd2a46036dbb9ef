/// What a packet asks for, or what kind of answer it is (item `11`, one byte).
///
/// Any value can be received: an opcode that is not known is still a well-formed packet, and its receiver answers
/// with ``KeyErrorCode/badOpcode``.
public struct Opcode: RawRepresentable, Hashable, Sendable {
    public var rawValue: UInt8

    public init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    // Stock operations. All but Ed25519 and decryption take a digest and sign it as it is.

    /// Decrypts an RSA ciphertext with PKCS #1 v1.5 padding.
    public static let rsaDecrypt = Opcode(rawValue: 0x01)
    public static let rsaSignMD5SHA1 = Opcode(rawValue: 0x02)
    public static let rsaSignSHA1 = Opcode(rawValue: 0x03)
    public static let rsaSignSHA224 = Opcode(rawValue: 0x04)
    public static let rsaSignSHA256 = Opcode(rawValue: 0x05)
    public static let rsaSignSHA384 = Opcode(rawValue: 0x06)
    public static let rsaSignSHA512 = Opcode(rawValue: 0x07)
    /// The RSA private operation on a whole block, without any padding.
    public static let rsaDecryptRaw = Opcode(rawValue: 0x08)
    public static let ecdsaSignMD5SHA1 = Opcode(rawValue: 0x12)
    public static let ecdsaSignSHA1 = Opcode(rawValue: 0x13)
    public static let ecdsaSignSHA224 = Opcode(rawValue: 0x14)
    public static let ecdsaSignSHA256 = Opcode(rawValue: 0x15)
    public static let ecdsaSignSHA384 = Opcode(rawValue: 0x16)
    public static let ecdsaSignSHA512 = Opcode(rawValue: 0x17)
    /// Signs the message itself, not a digest of it.
    public static let ed25519Sign = Opcode(rawValue: 0x18)
    public static let rsaPSSSignSHA256 = Opcode(rawValue: 0x35)
    public static let rsaPSSSignSHA384 = Opcode(rawValue: 0x36)
    public static let rsaPSSSignSHA512 = Opcode(rawValue: 0x37)

    /// A function whose name is in item `13`, see ``KeyFunction``.
    public static let custom = Opcode(rawValue: 0x24)

    // Answers and liveness.

    /// The answer to a request that succeeded; the result is the payload.
    public static let success = Opcode(rawValue: 0xF0)
    /// Asks for a ``pong`` with the same payload.
    public static let ping = Opcode(rawValue: 0xF1)
    public static let pong = Opcode(rawValue: 0xF2)
    /// Takes back the request with the same id: it need not be done if it has not been begun. That request is answered, this is not.
    public static let cancel = Opcode(rawValue: 0xF3)
    /// The answer to a request that failed; the payload is one byte, a ``KeyErrorCode``.
    public static let error = Opcode(rawValue: 0xFF)
}

extension Opcode: CustomStringConvertible {
    /// The opcode in hexadecimal, as specifications print it.
    public var description: String {
        let digits = String(self.rawValue, radix: 16, uppercase: true)
        return digits.count == 1 ? "0" + digits : digits
    }
}
