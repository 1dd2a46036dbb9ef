import HTTPForwarding
import NIOCore
import NIOHTTP1

/// A short answer of the edge's own.
struct LocalResponse {
    var status: HTTPResponseStatus
    /// Constant text for logs.
    var reason: String
    /// One sentence; empty for none.
    var text: String
    /// What the cache says about it.
    var cacheStatus: String?

    init(_ status: HTTPResponseStatus, reason: String, text: String) {
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

    static let bodyTimeout = LocalResponse(
        .requestTimeout, reason: "request-body-timeout", text: "The request's body did not arrive in time.")
    static let headTooLarge = LocalResponse(
        .requestHeaderFieldsTooLarge, reason: "head-too-large", text: "The request's head is too large.")
    static let onlyIfCached = LocalResponse(
        .gatewayTimeout, reason: "only-if-cached", text: "There is no stored response for this request.")
    static let options = LocalResponse(.ok, reason: "max-forwards", text: "")

    /// What the client sent was no request: the decoder's error as an answer; `nil` where there is nobody to answer.
    init?(decoding error: any Error) {
        switch error {
        case HTTPParserError.headerOverflow:
            self = .headTooLarge
        case HTTPParserError.invalidVersion:
            self.init(.httpVersionNotSupported, reason: "bad-version", text: "The edge speaks HTTP/1.1 here.")
        case HTTPParserError.invalidMethod:
            self.init(.notImplemented, reason: "bad-method", text: "The method is not known here.")
        case HTTPParserError.invalidEOFState, HTTPParserError.closedConnection:
            return nil
        case is HTTPParserError:
            self.init(.badRequest, reason: "malformed", text: "The request is malformed.")
        default:
            return nil
        }
    }

    func head(closing: Bool, for client: ClientVersion) -> HTTPResponseHead {
        var fields: [(String, String)] = []
        fields.reserveCapacity(5)
        if !self.text.isEmpty { fields.append(("Content-Type", "text/plain; charset=utf-8")) }
        fields.append(("Cache-Control", "no-store"))
        if let cacheStatus { fields.append(("Cache-Status", cacheStatus)) }
        fields.append(("Content-Length", String(self.text.isEmpty ? 0 : self.text.utf8.count + 1)))
        if self.status == .methodNotAllowed {
            fields.append(("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
        }
        // Long enough to spread clients that come back.
        if self.status == .serviceUnavailable { fields.append(("Retry-After", "5")) }
        if client == .http2 {
            // Connections are HTTP/2's own business.
        } else if closing {
            fields.append(("Connection", "close"))
        } else if client == .http10 {
            fields.append(("Connection", "keep-alive"))
        }
        return HTTPResponseHead(version: .http1_1, status: self.status, headers: HTTPHeaders(fields))
    }

    func body(_ allocator: ByteBufferAllocator) -> ByteBuffer? {
        self.text.isEmpty ? nil : allocator.buffer(string: self.text + "\n")
    }
}
