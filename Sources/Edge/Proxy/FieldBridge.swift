import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore
import NIOHTTP1

// Between heads as bytes and heads as texts, for HTTP/2, which still takes texts. It goes when that does.

extension FieldSection {
    var headers: HTTPHeaders {
        HTTPHeaders(self.map { (self.text($0.name), self.text($0.value)) })
    }
}

extension OutgoingHead {
    /// With framing and connection fields, as HTTP/1.1 has them.
    var bridged: HTTPResponseHead {
        var bytes = ByteBuffer()
        self.write(to: &bytes)
        var parser = ResponseHeadParser(limits: WireLimits(headBytes: 1 << 24, fields: 4096))
        guard let head = try? parser.parse(&bytes) else {
            return HTTPResponseHead(version: .http1_1, status: HTTPResponseStatus(statusCode: self.status))
        }
        return HTTPResponseHead(
            version: .http1_1,
            status: HTTPResponseStatus(statusCode: head.status, reasonPhrase: head.fields.text(head.reasonRange)),
            headers: head.fields.headers)
    }
}
