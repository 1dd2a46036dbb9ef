import EdgeModel
import HTTPCaching
import HTTPFields
import HTTPForwarding
import HTTPWire
import Logging
import NIOCore
import TLSWire
import Telemetry

/// One record and one count for each request. The record costs nothing where there is no access log.
final class AccessLog {
    private let site: ProxySite
    private let logger: Logger
    private let writer: AccessLogWriter?
    /// The connection's number in the log; 0 where connections are not counted.
    private let connection: UInt64
    private let client: SocketAddress?
    private let mode: String?
    private let tls: ClientTLS?
    private let serverName: ServerName

    init(_ connection: ProxyContext) {
        self.site = connection.site
        self.logger = connection.logger
        self.writer = connection.site.accessLog
        self.connection = connection.connection ?? 0
        self.client = connection.clientAddress
        self.mode = connection.mode
        self.tls = connection.tls
        self.serverName = connection.serverName
    }

    /// - Parameters:
    ///   - number: of the request on its connection, from 1.
    ///   - bytes: of the response's body, or of both directions of a tunnel.
    func record(
        _ exchange: ProxyExchange, number: Int, outcome: String, bytes: Int? = nil, now: NIODeadline = .now()
    ) {
        self.count(
            status: exchange.status, bytes: exchange.responseBytes, cache: exchange.cacheOutcome,
            duration: now - exchange.started)
        self.writer?.record { layout in
            var record = self.record(
                exchange.request, layout, status: exchange.status, bytes: bytes ?? exchange.responseBytes,
                cache: exchange.cacheOutcome, duration: now - exchange.started, number: number, outcome: outcome)
            if exchange.status > 0 { record.firstByte = exchange.answered - exchange.started }
            record.origin = exchange.askedOrigin.map { $0.facts(now: now) }
            return record
        }
    }

    /// A request that has no exchange.
    ///
    /// - Parameters:
    ///   - status: 0 if it was not answered.
    ///   - bytes: of the response's body.
    func record(
        _ request: CheckedRequest, status: Int, bytes: Int, cache: CacheOutcome?, duration: TimeAmount, number: Int,
        outcome: String
    ) {
        self.count(status: status, bytes: bytes, cache: cache, duration: duration)
        self.writer?.record { layout in
            var record = self.record(
                request, layout, status: status, bytes: bytes, cache: cache, duration: duration, number: number,
                outcome: outcome)
            if status > 0 { record.firstByte = duration }
            return record
        }
    }

    /// A request that got no further than the edge; `nil` if there was none to be read.
    func record(_ line: @autoclosure () -> RequestLine?, _ local: LocalResponse, number: Int) {
        self.site.metrics.request(status: local.status, duration: .zero)
        self.writer?.record { layout in
            let line = line()
            var record = self.record(
                status: local.status, bytes: local.text.utf8.count, duration: .zero, number: number,
                outcome: local.reason)
            record.method = line?.method
            record.httpVersion = line?.version.text
            record.take(line?.target ?? ByteBuffer(), line?.fields, for: layout)
            return record
        }
    }

    private func count(status: Int, bytes: Int, cache: CacheOutcome?, duration: TimeAmount) {
        self.site.metrics.request(status: status, duration: duration)
        if let cache { self.site.cache?.metrics.request(cache.word, bytes: bytes) }
    }

    private func record(
        _ request: CheckedRequest, _ layout: AccessLayout, status: Int, bytes: Int, cache: CacheOutcome?,
        duration: TimeAmount, number: Int, outcome: String
    ) -> AccessRecord {
        var record = self.record(status: status, bytes: bytes, duration: duration, number: number, outcome: outcome)
        record.host = request.host
        record.method = request.methodText
        record.httpVersion = request.version.text
        record.cache = cache?.word.rawValue
        request.name?.withBytes(in: request.fields) { record.takeRequestID($0) }
        record.take(request.target, request.fields, for: layout)
        return record
    }

    private func record(
        status: Int, bytes: Int, duration: TimeAmount, number: Int, outcome: String
    ) -> AccessRecord {
        var record = AccessRecord(
            site: self.site.name, status: status, bytes: bytes, duration: duration, outcome: outcome)
        record.client = self.client
        record.mode = self.mode
        record.host = self.serverName.rawValue
        record.tls = self.tls
        record.connection = self.connection
        record.number = number
        return record
    }

    /// - Parameter isNews: the first of its kind, or the first for a while. The others are for who looks closely.
    func originFailed(_ failure: OriginFailure, afterHead: Bool, isNews: Bool) {
        self.logger.log(
            level: isNews ? .warning : .debug, "origin failed",
            metadata: [
                "connection": "\(self.connection)", "site": "\(self.site.name)",
                "address": "\(self.site.origins.configuration.text)",
                "reason": "\(failure.cause.rawValue)", "error": "\(failure.detail)",
                "answer": afterHead ? "aborted" : "\(failure.status)",
            ])
    }
}

/// What a log line says of a request that is none, or none of the site's.
struct RequestLine {
    let version: ClientVersion
    let method: String
    let target: ByteBuffer
    let fields: FieldSection

    init(_ version: ClientVersion, method: String, target: ByteBuffer, fields: FieldSection) {
        self.version = version
        self.method = method
        self.target = target
        self.fields = fields
    }

    init(_ head: RequestHead) {
        self.init(
            head.minorVersion == 0 ? .http10 : .http11, method: head.fields.text(head.methodRange),
            target: head.fields.slice(head.targetRange), fields: head.fields)
    }
}

extension ClientVersion {
    /// As nginx writes it.
    var text: String {
        switch self {
        case .http10: "HTTP/1.0"
        case .http11: "HTTP/1.1"
        case .http2: "HTTP/2.0"
        }
    }
}
