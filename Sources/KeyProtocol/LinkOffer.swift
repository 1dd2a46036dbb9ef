public import NIOCore

/// What a key holder says first on a connection that it has opened to an edge, in the clear: who it is. TLS follows, which the
/// edge begins when it takes the offer; only then is the name proved.
///
/// On the wire: `latchstring-offer/1 `, the name, and a line feed; nothing behind that before the edge's ClientHello.
public struct LinkOffer: Equatable, Sendable {
    /// As ``PartyName`` has it.
    public let name: String

    static let beginning = "latchstring-offer/1 "
    /// Bytes, the line feed included.
    static let maximumLength = LinkOffer.beginning.utf8.count + 64 + 1

    /// - Returns: nil if it is no name of a party.
    public init?(name: String) {
        guard PartyName.isLegal(name) else { return nil }
        self.name = name
    }

    public func encoded() -> ByteBuffer { ByteBuffer(string: "\(Self.beginning)\(self.name)\n") }
}

/// Reads an offer as it comes, in whatever pieces. Holds 85 bytes at most.
///
/// The peer's violations: anything else than an offer, at the first byte that is, and anything behind it.
public struct LinkOfferReader: Sendable {
    public enum Progress: Equatable, Sendable {
        case needMore
        case offer(LinkOffer)
        case malformed
    }

    private var received: [UInt8] = []

    public init() {}

    /// - Returns: what is known after these bytes. Behind anything but `needMore` there is no further call.
    public mutating func receive(_ bytes: ByteBuffer) -> Progress {
        let beginning = Array(LinkOffer.beginning.utf8)
        let fresh = bytes.readableBytesView
        for (offset, byte) in fresh.enumerated() {
            guard byte == UInt8(ascii: "\n") else {
                self.received.append(byte)
                let count = self.received.count
                guard count < LinkOffer.maximumLength, count > beginning.count || byte == beginning[count - 1] else {
                    return .malformed
                }
                continue
            }
            guard offset == fresh.count - 1, self.received.count > beginning.count,
                let offer = LinkOffer(name: String(decoding: self.received[beginning.count...], as: UTF8.self))
            else { return .malformed }
            return .offer(offer)
        }
        return .needMore
    }
}
