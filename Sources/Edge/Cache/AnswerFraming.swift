import EdgeModel
import HTTPCaching
import HTTPForwarding
import NIOHTTP1

extension OriginClient {
    /// Whether a body that arrives so is whole when it ends without an error. Where the end of the connection is the end
    /// of the body, one that broke off looks whole, unless TLS tells them apart.
    func vouchesForEnd(of framing: OldBodyFraming) -> Bool {
        framing != .untilClose || self.configuration.scheme == .https
    }
}

extension ForwardedResponse {
    /// A response of the cache's in the form that the client's protocol version has.
    ///
    /// - Parameters:
    ///   - closing: no further request on this connection.
    ///   - status: the line `Cache-Status`, if there is to be one.
    init(_ answer: Answer, to request: ForwardedRequest, closing: Bool, status: String?) {
        let body: OldBodyFraming
        switch (answer.body, answer.length) {
        case (.none, _): body = .none
        case (_, let length?): body = .length(length)
        case (_, nil): body = request.clientVersion > .http10 ? .chunked : .untilClose
        }
        let persists = request.clientPersists && !closing && body != .untilClose && !request.stopsDecoder
        var fields = answer.headers
        if let status { fields.add(name: "Cache-Status", value: status) }
        if request.clientVersion != .http2 {
            if body == .chunked { fields.add(name: "Transfer-Encoding", value: "chunked") }
            if !persists {
                fields.add(name: "Connection", value: "close")
            } else if request.clientVersion == .http10 {
                fields.add(name: "Connection", value: "keep-alive")
            }
        }
        self.init(
            head: HTTPResponseHead(version: .http1_1, status: answer.statusLine, headers: fields), originBody: .none,
            clientBody: body, originPersists: false, clientPersists: persists)
    }
}
