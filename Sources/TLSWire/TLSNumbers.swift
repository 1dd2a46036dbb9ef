/// Protocol versions by number.
public enum TLSVersion {
    public static let tls10: UInt16 = 0x0301
    public static let tls11: UInt16 = 0x0302
    public static let tls12: UInt16 = 0x0303
    public static let tls13: UInt16 = 0x0304
}

/// Key exchange groups by number (IANA: TLS Supported Groups).
public enum TLSGroup {
    public static let secp256r1: UInt16 = 23
    public static let secp384r1: UInt16 = 24
    public static let secp521r1: UInt16 = 25
    public static let x25519: UInt16 = 29
    public static let x25519MLKEM768: UInt16 = 0x11EC
}

/// Names that people know for numbers on the wire; unknown numbers come out in hexadecimal.
public enum TLSNames {
    public static func version(_ version: UInt16) -> String {
        switch version {
        case 0x0300: return "SSL 3.0"
        case TLSVersion.tls10: return "TLS 1.0"
        case TLSVersion.tls11: return "TLS 1.1"
        case TLSVersion.tls12: return "TLS 1.2"
        case TLSVersion.tls13: return "TLS 1.3"
        default: return greaseOrHexadecimal(version)
        }
    }

    public static func group(_ group: UInt16) -> String {
        groups[group] ?? greaseOrHexadecimal(group)
    }

    public static func cipherSuite(_ suite: UInt16) -> String {
        cipherSuites[suite] ?? greaseOrHexadecimal(suite)
    }

    public static func signatureScheme(_ scheme: UInt16) -> String {
        SignatureScheme(rawValue: scheme).name
    }

    public static func alert(_ code: UInt8) -> String {
        Alert.Description(rawValue: code)?.name ?? "alert \(code)"
    }

    public static func handshakeType(_ type: UInt8) -> String {
        switch HandshakeType(rawValue: type) {
        case .helloRequest: return "HelloRequest"
        case .clientHello: return "ClientHello"
        case .serverHello: return "ServerHello"
        case .newSessionTicket: return "NewSessionTicket"
        case .endOfEarlyData: return "EndOfEarlyData"
        case .encryptedExtensions: return "EncryptedExtensions"
        case .certificate: return "Certificate"
        case .serverKeyExchange: return "ServerKeyExchange"
        case .certificateRequest: return "CertificateRequest"
        case .serverHelloDone: return "ServerHelloDone"
        case .certificateVerify: return "CertificateVerify"
        case .clientKeyExchange: return "ClientKeyExchange"
        case .finished: return "Finished"
        case .certificateStatus: return "CertificateStatus"
        case .keyUpdate: return "KeyUpdate"
        case nil: return "handshake message \(type)"
        }
    }

    /// The values that clients scatter in their lists so that servers learn to ignore unknown ones (RFC 8701).
    public static func isGREASE(_ number: UInt16) -> Bool {
        number & 0x0F0F == 0x0A0A && number >> 8 == number & 0xFF
    }

    static func hexadecimal(_ number: UInt16) -> String {
        let digits = String(number, radix: 16, uppercase: true)
        return "0x" + String(repeating: "0", count: 4 - digits.count) + digits
    }

    private static func greaseOrHexadecimal(_ number: UInt16) -> String {
        isGREASE(number) ? "GREASE" : hexadecimal(number)
    }

    private static let groups: [UInt16: String] = [
        TLSGroup.secp256r1: "P-256", TLSGroup.secp384r1: "P-384", TLSGroup.secp521r1: "P-521",
        TLSGroup.x25519: "X25519", 30: "X448", 256: "ffdhe2048", 257: "ffdhe3072", 258: "ffdhe4096",
        0x0200: "MLKEM512", 0x0201: "MLKEM768", 0x0202: "MLKEM1024", 0x11EB: "SecP256r1MLKEM768",
        TLSGroup.x25519MLKEM768: "X25519MLKEM768", 0x11ED: "SecP384r1MLKEM1024", 0x6399: "X25519Kyber768Draft00",
    ]

    /// The suites in common use, by their IANA names.
    private static let cipherSuites: [UInt16: String] = [
        0x1301: "TLS_AES_128_GCM_SHA256",
        0x1302: "TLS_AES_256_GCM_SHA384",
        0x1303: "TLS_CHACHA20_POLY1305_SHA256",
        0x1304: "TLS_AES_128_CCM_SHA256",
        0xC02B: "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        0xC02C: "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        0xC02F: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        0xC030: "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        0xCCA8: "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        0xCCA9: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        0xC009: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
        0xC00A: "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
        0xC013: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
        0xC014: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
        0xC023: "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
        0xC027: "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
        0xC028: "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
        0x009C: "TLS_RSA_WITH_AES_128_GCM_SHA256",
        0x009D: "TLS_RSA_WITH_AES_256_GCM_SHA384",
        0x002F: "TLS_RSA_WITH_AES_128_CBC_SHA",
        0x0035: "TLS_RSA_WITH_AES_256_CBC_SHA",
        0x009E: "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
        0x009F: "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
    ]
}
