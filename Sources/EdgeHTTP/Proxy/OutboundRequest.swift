import HTTPFields
import HTTPForwarding
import NIOCore

/// A request as it goes to the origin: its head, written once, and what the connection has to know of it.
struct OutboundRequest {
    /// HTTP/1.1, with the empty line.
    let head: ByteBuffer
    let method: RequestMethod
    /// How the content that follows is framed: `.none`, `.length` or `.chunked`.
    let framing: BodyFraming
    /// Whether `100 Continue` was asked for.
    let expectsContinue: Bool
    /// It may go out again when no answer came, if it has no content.
    let isIdempotent: Bool

    init(_ request: CheckedRequest, edits: OriginRequestEdits = OriginRequestEdits()) {
        var head = ByteBufferAllocator().buffer(capacity: request.fields.bytes.readableBytes + 512)
        request.writeOriginHead(edits: edits, to: &head)
        self.head = head
        self.method = edits.method ?? request.method
        self.framing = edits.method == nil ? request.framing : .none
        self.expectsContinue = request.expectsContinue
        self.isIdempotent = edits.method?.isIdempotent ?? request.isIdempotent
    }

    init(head: ByteBuffer, method: RequestMethod, framing: BodyFraming, isIdempotent: Bool) {
        self.head = head
        self.method = method
        self.framing = framing
        self.expectsContinue = false
        self.isIdempotent = isIdempotent
    }

    /// Origins are known that leave the content of such requests unread, and take it for the next request.
    var mayStayUnread: Bool {
        guard self.hasContent else { return false }
        switch self.method {
        case .get, .head, .options: return true
        default: return false
        }
    }

    /// Whether content follows.
    var hasContent: Bool { self.framing.length.map { $0 > 0 } ?? true }
}
