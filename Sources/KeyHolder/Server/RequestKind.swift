import KeyProtocol

/// What a message asks for, by its opcode.
enum RequestKind: Equatable {
    case ping
    case function(KeyFunction)
    case stock(StockRequest)
    /// An answer where a request belongs.
    case unexpected
    /// An opcode or function that this key holder does not have.
    case unknown

    init(_ message: KeyMessage) {
        switch message.opcode {
        case .ping:
            self = .ping
        case .pong, .success, .error:
            self = .unexpected
        case .custom:
            self = message.function.flatMap(KeyFunction.init(rawValue:)).map { .function($0) } ?? .unknown
        default:
            self = StockRequest(message.opcode).map { .stock($0) } ?? .unknown
        }
    }
}

/// A stock opcode: signs or decrypts whatever it is given.
enum StockRequest: Equatable {
    case signDigest(DigestAlgorithm, SignaturePadding)
    case signMessage
    case decrypt
    case decryptRaw

    init?(_ opcode: Opcode) {
        switch opcode {
        case .rsaDecrypt: self = .decrypt
        case .rsaDecryptRaw: self = .decryptRaw
        case .rsaSignMD5SHA1: self = .signDigest(.md5SHA1, .pkcs1)
        case .rsaSignSHA1: self = .signDigest(.sha1, .pkcs1)
        case .rsaSignSHA224: self = .signDigest(.sha224, .pkcs1)
        case .rsaSignSHA256: self = .signDigest(.sha256, .pkcs1)
        case .rsaSignSHA384: self = .signDigest(.sha384, .pkcs1)
        case .rsaSignSHA512: self = .signDigest(.sha512, .pkcs1)
        case .rsaPSSSignSHA256: self = .signDigest(.sha256, .pss)
        case .rsaPSSSignSHA384: self = .signDigest(.sha384, .pss)
        case .rsaPSSSignSHA512: self = .signDigest(.sha512, .pss)
        case .ecdsaSignMD5SHA1: self = .signDigest(.md5SHA1, .ecdsa)
        case .ecdsaSignSHA1: self = .signDigest(.sha1, .ecdsa)
        case .ecdsaSignSHA224: self = .signDigest(.sha224, .ecdsa)
        case .ecdsaSignSHA256: self = .signDigest(.sha256, .ecdsa)
        case .ecdsaSignSHA384: self = .signDigest(.sha384, .ecdsa)
        case .ecdsaSignSHA512: self = .signDigest(.sha512, .ecdsa)
        case .ed25519Sign: self = .signMessage
        default: return nil
        }
    }

    /// How audit lines call it.
    var operation: KeyProtocol.Operation {
        switch self {
        case .signDigest(_, .ecdsa): .ecdsaSign
        case .signDigest: .rsaSign
        case .signMessage: .ed25519Sign
        case .decrypt, .decryptRaw: .rsaDecrypt
        }
    }

    /// What a grant must allow. The bare private operation makes signatures as well as it decrypts, so it needs both.
    var needed: [KeyProtocol.Operation] {
        self == .decryptRaw ? [.rsaDecrypt, .rsaSign] : [self.operation]
    }

    func fits(_ type: KeyType) -> Bool {
        switch self {
        case .signDigest(_, .ecdsa): type.isECDSA
        case .signDigest, .decrypt, .decryptRaw: type.isRSA
        case .signMessage: type == .ed25519
        }
    }

    func acceptsLength(_ length: Int, for type: KeyType) -> Bool {
        switch self {
        case .signDigest(let algorithm, _): return length == algorithm.length
        case .signMessage: return length > 0
        case .decrypt, .decryptRaw:
            guard case .rsa(let bits) = type else { return false }
            return length == (bits + 7) / 8
        }
    }

    func keyOperation(_ payload: [UInt8]) -> KeyOperation {
        switch self {
        case .signDigest(let algorithm, let padding): .signDigest(algorithm, padding, digest: payload)
        case .signMessage: .signMessage(payload)
        case .decrypt: .decryptPremasterSecret(payload)
        case .decryptRaw: .rawRSA(payload)
        }
    }
}
