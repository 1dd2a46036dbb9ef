import NIOCore

/// Reads the PROXY protocol header, version 2, with which an edge tells a native client's address.
///
/// Pure. Only what our edges send is accepted: the command PROXY, and TCP over IPv4 or IPv6, or no addresses.
struct ProxyHeaderReader {
    struct Header: Equatable, Sendable {
        /// 4 or 16 bytes; nil if the edge does not know it.
        var source: [UInt8]?
        /// The whole header, for an application that wants it.
        var bytes: ByteBuffer
    }

    struct Malformed: Error, Equatable {}

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    private static let fixedLength = 16

    /// Takes the header off the buffer; nil if it is not all there yet.
    static func read(_ buffer: inout ByteBuffer) throws(Malformed) -> Header? {
        let start: Int = buffer.readerIndex
        let present: Int = min(buffer.readableBytes, Self.signature.count)
        guard let signature = buffer.getBytes(at: start, length: present), Self.signature.starts(with: signature) else {
            throw Malformed()
        }
        guard buffer.readableBytes >= Self.fixedLength,
            let command: UInt8 = buffer.getInteger(at: start + 12),
            let family: UInt8 = buffer.getInteger(at: start + 13),
            let length: UInt16 = buffer.getInteger(at: start + 14)
        else { return nil }
        guard command == 0x21 else { throw Malformed() }
        let addressLength: Int
        switch (family, length) {
        case (0x00, 0): addressLength = 0
        case (0x11, 12): addressLength = 4
        case (0x21, 36): addressLength = 16
        default: throw Malformed()
        }
        guard let bytes = buffer.readSlice(length: Self.fixedLength + Int(length)) else { return nil }
        let source: [UInt8]? =
            addressLength == 0
            ? nil : bytes.getBytes(at: bytes.readerIndex + Self.fixedLength, length: addressLength)
        return Header(source: source, bytes: bytes)
    }
}
