import NIOCore

/// A private-key operation over the transcript so far: what "encrypted with the private key" means today.
struct Proof: Equatable, NativeMessage {
    static let type = NativeMessageType.proof

    /// DER for ECDSA, as long as the modulus for RSA.
    var signature: [UInt8]

    init(signature: [UInt8]) { self.signature = signature }

    init(body: inout ByteBuffer) throws(NativeError) {
        let signature: ByteBuffer = try body.takeVector(UInt16.self, 8...512, "signature")
        self.signature = Array(signature.readableBytesView)
    }

    func write(into body: inout ByteBuffer) {
        body.writeInteger(UInt16(self.signature.count))
        body.writeBytes(self.signature)
    }
}

/// What the origin obtains the symmetric key from: the first random (origin-derived) or the symmetric key itself
/// (client-derived), encrypted to the certificate's public key.
struct KeyGenerationInformation: Equatable, NativeMessage {
    static let type = NativeMessageType.keyGenerationInformation

    /// The client's X25519 share; origin-derived only.
    var share: [UInt8]?
    var encryptedSecret: [UInt8]

    init(share: [UInt8]?, encryptedSecret: [UInt8]) {
        self.share = share
        self.encryptedSecret = encryptedSecret
    }

    init(body: inout ByteBuffer) throws(NativeError) {
        let share: ByteBuffer = try body.takeVector(UInt8.self, 0...NativeNumbers.randomLength, "share")
        switch share.readableBytes {
        case 0: self.share = nil
        case NativeNumbers.randomLength: self.share = Array(share.readableBytesView)
        default: throw .malformed("share")
        }
        let secret: ByteBuffer = try body.takeVector(UInt16.self, 1...512, "encrypted secret")
        self.encryptedSecret = Array(secret.readableBytesView)
    }

    func write(into body: inout ByteBuffer) {
        body.writeInteger(UInt8(self.share?.count ?? 0))
        body.writeBytes(self.share ?? [])
        body.writeInteger(UInt16(self.encryptedSecret.count))
        body.writeBytes(self.encryptedSecret)
    }
}

/// The second random of the origin-derived variant, with the origin's X25519 share. A ``Proof`` follows it.
struct SecondRandom: Equatable, NativeMessage {
    static let type = NativeMessageType.secondRandom

    var random: [UInt8]
    var share: [UInt8]

    init(random: [UInt8], share: [UInt8]) {
        self.random = random
        self.share = share
    }

    init(body: inout ByteBuffer) throws(NativeError) {
        self.random = try body.take(NativeNumbers.randomLength, "second random")
        self.share = try body.take(NativeNumbers.randomLength, "share")
    }

    func write(into body: inout ByteBuffer) {
        body.writeBytes(self.random)
        body.writeBytes(self.share)
    }
}

/// A MAC over the transcript so far with a key that only one who derived the same secret has.
struct Finished: Equatable, NativeMessage {
    static let type = NativeMessageType.finished

    /// As long as the suite's hash.
    var mac: [UInt8]

    init(mac: [UInt8]) { self.mac = mac }

    init(body: inout ByteBuffer) throws(NativeError) {
        guard [32, 48].contains(body.readableBytes) else { throw .malformed("Finished") }
        self.mac = try body.take(body.readableBytes, "Finished")
    }

    func write(into body: inout ByteBuffer) {
        body.writeBytes(self.mac)
    }
}
