import NIOCore
import NIOHTTP1

/// NIO's decoder of requests, but for one error: its parser takes a request line that ends in a bare LF for one of another
/// version, and that is no request at all (RFC 9112 §2.2).
struct RequestDecoder: ByteToMessageDecoder {
    typealias InboundOut = HTTPServerRequestPart

    private let decoder: HTTPRequestDecoder

    init(_ decoder: HTTPRequestDecoder) {
        self.decoder = decoder
    }

    func decoderAdded(context: ChannelHandlerContext) { self.decoder.decoderAdded(context: context) }

    func decoderRemoved(context: ChannelHandlerContext) { self.decoder.decoderRemoved(context: context) }

    func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
        do {
            return try self.decoder.decode(context: context, buffer: &buffer)
        } catch HTTPParserError.invalidVersion where Self.hasBareLineEnd(buffer) {
            throw HTTPParserError.lfExpected
        }
    }

    func decodeLast(context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool) throws -> DecodingState {
        do {
            return try self.decoder.decodeLast(context: context, buffer: &buffer, seenEOF: seenEOF)
        } catch HTTPParserError.invalidVersion where Self.hasBareLineEnd(buffer) {
            throw HTTPParserError.lfExpected
        }
    }

    /// What the parser choked on is still in the buffer, maybe behind other requests.
    private static func hasBareLineEnd(_ buffer: ByteBuffer) -> Bool {
        var last: UInt8 = 0
        for byte in buffer.readableBytesView {
            if byte == UInt8(ascii: "\n"), last != UInt8(ascii: "\r") { return true }
            last = byte
        }
        return false
    }
}
