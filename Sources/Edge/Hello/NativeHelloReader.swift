public import Admission
import Channels
public import EdgeModel
public import NIOCore
public import NativeHandshake

/// A client connection whose native hello was read and routed. What ``HelloHandOver`` says about the channel holds here
/// too.
public struct NativeHandOver: Sendable {
    /// The connection's number, for log lines, if it has one.
    public var connection: UInt64?
    /// Who the client is. The address of the channel may be a balancer's.
    public var client: ClientAddress
    /// The connection among the others of this edge, if they are counted.
    var place: ClientPlace?
    public var channel: any Channel
    public var site: Site
    public var hello: NativeHello
    /// Every byte that the client sent so far.
    public var receivedBytes: ByteBuffer
}

/// Reads a native hello from a connection's first bytes, and keeps them: they are the key holder's to read.
struct NativeHelloReader {
    private var reader = NativeFrameReader(from: .client)
    private(set) var receivedBytes = ByteBuffer()

    /// Whether a connection that begins like this speaks the native handshake.
    static func recognises(_ bytes: ByteBuffer) -> Bool {
        bytes.getInteger(at: bytes.readerIndex, as: UInt8.self) == NativeRecordType.handshake.rawValue
    }

    /// The hello, once it is complete.
    mutating func receive(_ bytes: ByteBuffer) throws(NativeError) -> NativeHello? {
        self.reader.receive(bytes)
        var bytes: ByteBuffer = bytes
        self.receivedBytes.writeBuffer(&bytes)
        guard let frame = try self.reader.next() else { return nil }
        return try NativeHello(frame)
    }
}
