import EdgeModel
import HTTPCaching
import HTTPFields
import HTTPForwarding

extension OriginClient {
    /// Whether a body that arrives so is whole when it ends without an error. Where the end of the connection is the end
    /// of the body, one that broke off looks whole, unless TLS tells them apart.
    func vouchesForEnd(of framing: BodyFraming) -> Bool {
        framing != .untilClose || self.configuration.scheme == .https
    }
}

extension CheckedResponse {
    /// A response of the cache's in the form that the client's protocol version has.
    ///
    /// - Parameters:
    ///   - closing: no further request on this connection.
    ///   - status: the line `Cache-Status`, if there is to be one.
    init(_ answer: Answer, to request: CheckedRequest, closing: Bool, status: AddedFields.Value?) {
        let framing: BodyFraming =
            switch (answer.body, answer.length) {
            case (.none, _): .none
            case (_, let length?): .length(length)
            case (_, nil): request.version > .http10 ? .chunked : .untilClose
            }
        let persists = request.clientPersists && !closing && framing != .untilClose
        var head = OutgoingHead(answer.head, framing: framing)
        if framing == .none { head.announcedLength = answer.contentLength }
        if let age = answer.age { head.added.add(.age, .number(age)) }
        if let status { head.added.add(.cacheStatus, status) }
        head.name(request)
        if request.version != .http2 {
            if !persists {
                head.connection = .close
            } else if request.version == .http10 {
                head.connection = .keepAlive
            }
        }
        self.init(head: head, clientPersists: persists)
    }
}
