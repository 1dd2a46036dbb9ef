import EdgeModel
import HTTPCaching
import HTTPFields
import HTTPForwarding
import HTTPWire
import Logging
import NIOCore
import Telemetry

/// One line and one count for each request. The line costs nothing where its level is off.
final class AccessLog {
    private let site: ProxySite
    private let logger: Logger
    private let level: Logger.Level?
    /// The connection's number in the log; 0 where nobody counts.
    private let connection: UInt64
    private let client: SocketAddress?

    init(_ connection: ProxyContext) {
        self.site = connection.site
        self.logger = connection.logger
        self.connection = connection.connection ?? 0
        self.client = connection.clientAddress
        let level = connection.site.accessLogLevel
        self.level = level.flatMap { connection.logger.logLevel <= $0 ? $0 : nil }
    }

    /// - Parameters:
    ///   - number: of the request on its connection, from 1.
    ///   - bytes: of the response's body, or of both directions of a tunnel.
    func record(_ exchange: ProxyExchange, number: Int, outcome: String, bytes: Int? = nil) {
        self.record(
            exchange.request, status: exchange.status, bytes: exchange.responseBytes, cache: exchange.cacheOutcome,
            duration: NIODeadline.now() - exchange.started, number: number, outcome: outcome, logged: bytes)
    }

    /// A request that has no exchange.
    ///
    /// - Parameters:
    ///   - status: 0 if it was not answered.
    ///   - bytes: of the response's body.
    ///   - logged: what the log says instead of them.
    func record(
        _ request: CheckedRequest, status: Int, bytes: Int, cache: CacheOutcome?, duration: TimeAmount, number: Int,
        outcome: String, logged: Int? = nil
    ) {
        self.site.metrics.request(status: status, duration: duration)
        if let cache { self.site.cache?.metrics.request(cache.word, bytes: bytes) }
        guard let level else { return }
        self.write(
            level, RequestLine(request), status: status, bytes: logged ?? bytes, duration: duration, number: number,
            outcome: outcome, cache: cache)
    }

    /// A request that got no further than the edge; `nil` if there was none to be read.
    func record(_ line: @autoclosure () -> RequestLine?, _ local: LocalResponse, number: Int) {
        self.site.metrics.request(status: local.status, duration: .zero)
        guard let level else { return }
        self.write(
            level, line() ?? RequestLine(.http11, method: "-", target: "-"), status: local.status,
            bytes: local.text.utf8.count, duration: .zero, number: number, outcome: local.reason)
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

    private func write(
        _ level: Logger.Level, _ line: RequestLine, status: Int, bytes: Int, duration: TimeAmount, number: Int,
        outcome: String, cache: CacheOutcome? = nil
    ) {
        // Queries may hold secrets.
        let path = line.target.prefix { $0 != "?" }.prefix(256)
        var metadata: Logger.Metadata = [
            "site": "\(self.site.name)", "client": "\(PeerText(self.client))", "protocol": "\(line.version.text)",
            "method": "\(line.method)", "path": "\(path)",
            "status": "\(status)",
            "bytes": "\(bytes)", "ms": "\(duration.nanoseconds / 1_000_000)",
            "connection": "\(self.connection)", "number": "\(number)", "outcome": "\(outcome)",
        ]
        if let cache {
            metadata["cache"] = "\(cache.word.rawValue)"
            metadata["cache_reason"] = "\(cache.text)"
        }
        self.logger.log(level: level, "request", metadata: metadata)
    }
}

/// What a log line says of a request.
struct RequestLine {
    let version: ClientVersion
    let method: String
    let target: String

    init(_ version: ClientVersion, method: String, target: String) {
        self.version = version
        self.method = method
        self.target = target
    }

    init(_ request: CheckedRequest) {
        self.init(request.version, method: request.methodText, target: String(buffer: request.target))
    }

    init(_ head: RequestHead) {
        self.init(
            head.minorVersion == 0 ? .http10 : .http11, method: head.fields.text(head.methodRange),
            target: head.fields.text(head.targetRange))
    }
}

extension ClientVersion {
    /// As `curl` and others write it.
    fileprivate var text: String {
        switch self {
        case .http10: "HTTP/1.0"
        case .http11: "HTTP/1.1"
        case .http2: "HTTP/2"
        }
    }
}
