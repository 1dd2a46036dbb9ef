import HTTPCaching
import HTTPFields
import HTTPForwarding
import HTTPWire
import NIOCore

/// A short answer of the edge's own.
struct LocalResponse {
    /// 200...999.
    var status: Int
    /// Constant text for logs.
    var reason: String
    /// One sentence; empty for none.
    var text: String
    /// What the cache says about it.
    var cacheStatus: String?

    init(_ status: Int, reason: String, text: String) {
        self.status = status
        self.reason = reason
        self.text = text
    }

    init(_ refusal: RequestRefusal) {
        self.init(refusal.status, reason: refusal.rawValue, text: refusal.explanation)
    }

    init(_ failure: OriginFailure) {
        self.init(failure.status, reason: failure.cause.rawValue, text: failure.explanation)
    }

    /// What the client sent was no request.
    init(_ error: WireError) {
        self.init(error.status, reason: error.fault.rawValue, text: "\(error.fault.explanation)")
    }

    static let bodyTimeout = LocalResponse(
        408, reason: "request-body-timeout", text: "The request's body did not arrive in time.")
    static let headTooLarge = LocalResponse(
        431, reason: "head-too-large", text: "The request's head is too large.")
    static let onlyIfCached = LocalResponse(
        504, reason: "only-if-cached", text: "There is no stored response for this request.")
    static let options = LocalResponse(200, reason: "max-forwards", text: "")

    /// - Parameters:
    ///   - request: what it answers; nil: nothing that has a name.
    ///   - edits: the site's.
    func head(
        closing: Bool, for client: ClientVersion, to request: CheckedRequest? = nil, _ edits: FieldEdits
    ) -> OutgoingHead {
        var head = OutgoingHead(
            status: self.status, framing: .length(Int64(self.text.isEmpty ? 0 : self.text.utf8.count + 1)))
        if !self.text.isEmpty { head.added.add(.contentType, .constant("text/plain; charset=utf-8")) }
        head.added.add(.cacheControl, .constant("no-store"))
        if let cacheStatus { head.added.add(.cacheStatus, .text(cacheStatus)) }
        if self.status == 405 { head.added.add(.allow, .constant("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")) }
        // Long enough to spread clients that come back.
        if self.status == 503 { head.added.add(.retryAfter, .constant("5")) }
        if let request { head.name(request) }
        if client == .http2 {
            // Connections are HTTP/2's own business.
        } else if closing {
            head.connection = .close
        } else if client == .http10 {
            head.connection = .keepAlive
        }
        edits.apply(to: &head)
        return head
    }

    /// nil if there is none.
    var body: ByteBuffer? { self.text.isEmpty ? nil : ByteBuffer(string: self.text + "\n") }
}
