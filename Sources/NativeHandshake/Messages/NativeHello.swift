import NIOCore
public import TLSWire

/// The client's first message: the domain, the variant, and what the client can do.
///
/// The edge reads it to find the site, and passes it on as it came.
public struct NativeHello: Equatable, Sendable, NativeMessage {
    static let type = NativeMessageType.hello

    public var variant: NativeVariant
    /// 32 fresh bytes, so that no signature made for another handshake fits this one.
    public var nonce: [UInt8]
    /// Suites that the client accepts, preferred first; numbers it does not know included. 1...16.
    public var suites: [UInt16]
    /// Kinds of certificate keys that the client accepts; numbers it does not know included. 1...8.
    public var keyKinds: [UInt8]
    public var serverName: ServerName

    /// Reads a hello off a record.
    public init(_ frame: NativeFrame) throws(NativeError) {
        self = try Self.decode(frame)
    }

    init(
        variant: NativeVariant, nonce: [UInt8], suites: [NativeSuite], keyKinds: [NativeKeyKind],
        serverName: ServerName
    ) {
        self.variant = variant
        self.nonce = nonce
        self.suites = suites.map(\.rawValue)
        self.keyKinds = keyKinds.map(\.rawValue)
        self.serverName = serverName
    }

    init(body: inout ByteBuffer) throws(NativeError) {
        let number: UInt8 = try body.takeInteger("variant")
        guard let variant = NativeVariant(rawValue: number) else { throw .unknownVariant(number) }
        self.variant = variant
        self.nonce = try body.take(NativeNumbers.randomLength, "nonce")
        var suites: ByteBuffer = try body.takeVector(UInt8.self, 2...32, "suites")
        self.suites = []
        while let suite: UInt16 = suites.readInteger() { self.suites.append(suite) }
        guard suites.readableBytes == 0 else { throw .malformed("suites") }
        let kinds: ByteBuffer = try body.takeVector(UInt8.self, 1...8, "key kinds")
        self.keyKinds = Array(kinds.readableBytesView)
        let name: ByteBuffer = try body.takeVector(UInt8.self, 1...253, "server name")
        do throws(ServerNameError) {
            self.serverName = try ServerName(wire: name.readableBytesView)
        } catch {
            throw .malformed("server name: \(error)")
        }
        // One name has one spelling on the wire, so that no two parties disagree on which bytes were meant.
        guard name.readableBytesView.elementsEqual(self.serverName.rawValue.utf8) else {
            throw .malformed("server name: upper case")
        }
    }

    func write(into body: inout ByteBuffer) {
        body.writeInteger(self.variant.rawValue)
        body.writeBytes(self.nonce)
        body.writeInteger(UInt8(2 * self.suites.count))
        for suite: UInt16 in self.suites { body.writeInteger(suite) }
        body.writeInteger(UInt8(self.keyKinds.count))
        body.writeBytes(self.keyKinds)
        body.writeInteger(UInt8(self.serverName.rawValue.utf8.count))
        body.writeString(self.serverName.rawValue)
    }
}
