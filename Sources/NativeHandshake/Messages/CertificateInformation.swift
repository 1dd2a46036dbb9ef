import NIOCore

/// The origin's certificate information: the chain, the choices, and the origin's contribution to freshness.
///
/// It is bound to this handshake by the ``Proof`` that follows it.
struct CertificateInformation: Equatable, NativeMessage {
    static let type = NativeMessageType.certificateInformation

    /// Client-derived: the second random. Origin-derived: a nonce; the second random comes later.
    var originRandom: [UInt8]
    var suite: NativeSuite
    var keyKind: NativeKeyKind
    /// DER, leaf first. 1...10 certificates.
    var chain: [[UInt8]]

    init(originRandom: [UInt8], suite: NativeSuite, keyKind: NativeKeyKind, chain: [[UInt8]]) {
        self.originRandom = originRandom
        self.suite = suite
        self.keyKind = keyKind
        self.chain = chain
    }

    init(body: inout ByteBuffer) throws(NativeError) {
        self.originRandom = try body.take(NativeNumbers.randomLength, "origin random")
        guard let suite = NativeSuite(rawValue: try body.takeInteger("suite")) else { throw .notOffered("suite") }
        self.suite = suite
        guard let kind = NativeKeyKind(rawValue: try body.takeInteger("key kind")) else {
            throw .notOffered("key kind")
        }
        self.keyKind = kind
        let count: UInt8 = try body.takeInteger("number of certificates")
        guard (1...NativeNumbers.maximumCertificates).contains(Int(count)) else {
            throw .malformed("number of certificates")
        }
        self.chain = []
        for _ in 0..<count {
            let certificate: ByteBuffer = try body.takeVector(UInt16.self, 1...0x7FFF, "certificate")
            self.chain.append(Array(certificate.readableBytesView))
        }
    }

    func write(into body: inout ByteBuffer) {
        body.writeBytes(self.originRandom)
        body.writeInteger(self.suite.rawValue)
        body.writeInteger(self.keyKind.rawValue)
        body.writeInteger(UInt8(self.chain.count))
        for certificate: [UInt8] in self.chain {
            body.writeInteger(UInt16(certificate.count))
            body.writeBytes(certificate)
        }
    }
}
