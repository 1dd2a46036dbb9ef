package import Admission
package import Channels
package import EdgeModel
package import NIOCore
package import NativeHandshake

/// A client connection whose native hello was read and routed. What ``RoutedClient`` says about the channel holds here
/// too.
package struct RoutedNativeClient: Sendable {
    /// The connection's number, for log lines, if it has one.
    package var connection: UInt64?
    /// Who the client is. The address of the channel may be a balancer's.
    package var client: ClientAddress
    /// The connection among the others of this edge, if they are counted.
    package var place: ClientPlace?
    package var channel: any Channel
    package var site: Site
    package var hello: NativeHello
    /// Every byte that the client sent so far.
    package var receivedBytes: ByteBuffer
}

/// Reads a native hello from a connection's first bytes, and keeps them: they are the key holder's to read.
package struct NativeHelloReader {
    private var reader = NativeFrameReader(from: .client)
    private(set) var receivedBytes = ByteBuffer()

    /// Whether a connection that begins like this speaks the native handshake.
    package static func recognises(_ bytes: ByteBuffer) -> Bool {
        bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) == NativeRecordType.handshake.rawValue
    }

    /// The hello, once it is complete.
    package mutating func receive(_ bytes: ByteBuffer) throws(NativeError) -> NativeHello? {
        self.reader.receive(bytes)
        var bytes: ByteBuffer = bytes
        self.receivedBytes.writeBuffer(&bytes)
        guard let frame = try self.reader.next() else { return nil }
        return try NativeHello(frame)
    }
}
