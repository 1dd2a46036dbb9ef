package import Admission
import Logging
package import Metrics
package import NIOCore
package import NativeHandshake
package import TLSWire
package import Telemetry

/// Why a client's connection ended before it was handed over, and what the client is told.
package enum HelloRefusal: Equatable, Sendable {
    /// The bytes are not a ClientHello that this edge reads.
    case unreadable(HelloRejection)
    /// The ClientHello is fine, but leads nowhere.
    case unroutable(RouteRejection, Alert.Description)
    /// The bytes begin like a native hello, and are none that leads anywhere.
    case unreadableNative(NativeError)
    /// The site does not serve the native handshake.
    case nativeNotServed
    /// The listener is for balancers, and this is none of them.
    case notFromProxy
    /// A balancer's connection that does not begin with a PROXY header.
    case badProxyHeader(ProxyProtocolError)
    /// The client that a balancer names has too many connections, or all have.
    case crowded
    /// The ClientHello did not arrive in time.
    case timeout
    /// The client closed, or its connection broke, in the middle of the ClientHello.
    case truncated
    /// The client closed without a byte, as port scans and health checks do.
    case silent

    /// Constant text for the metric and the log line.
    package var reason: String {
        switch self {
        case .unreadable(let rejection): rejection.reason
        case .unroutable(let rejection, _): rejection.rawValue
        case .unreadableNative(let error): "native: \(error.reason)"
        case .nativeNotServed: "native: not served"
        case .notFromProxy: "not from a trusted proxy"
        case .badProxyHeader: "PROXY header"
        case .crowded: "too many connections"
        case .timeout: "timeout"
        case .truncated: "truncated"
        case .silent: "silent"
        }
    }

    package var alert: Alert.Description? {
        switch self {
        case .unreadable(let rejection): rejection.alert
        case .unroutable(_, let alert): alert
        case .unreadableNative, .nativeNotServed, .notFromProxy, .badProxyHeader, .crowded, .timeout, .truncated,
            .silent:
            nil
        }
    }

    /// What is sent before the close, maybe nothing; nil where the client is gone, or has no claim to an answer.
    package var answer: ByteBuffer? {
        switch self {
        case .unreadable(.plainHTTP): Self.plainHTTPAnswer
        // Whatever speaks another protocol still sends; an orderly end tells it more than a reset would.
        case .unreadableNative(let error): error.alert?.record ?? ByteBuffer()
        case .nativeNotServed: NativeAlert.notAllowed.record
        case .unreadable, .unroutable: self.alert.map { Alert($0).record() } ?? ByteBuffer()
        case .notFromProxy, .badProxyHeader, .crowded, .timeout, .truncated, .silent: nil
        }
    }

    private static let plainHTTPAnswer: ByteBuffer = {
        let body = "This port speaks HTTPS; use https:// in the address.\n"
        return ByteBuffer(
            string: """
                HTTP/1.1 400 Bad Request\r
                Content-Type: text/plain; charset=utf-8\r
                Content-Length: \(body.utf8.count)\r
                Connection: close\r
                \r
                \(body)
                """)
    }()

    /// One metric, one log line.
    package func report(
        connection: UInt64?, client: SocketAddress?, serverName: ServerName?, reports: ReportLog,
        metrics: any MetricsFactory
    ) {
        Counter(
            label: "latchstring_edge_hello_rejected_total", dimensions: [("reason", self.reason)], factory: metrics
        ).increment()
        // Connections without a byte come from health checks, all the time.
        let level: Logger.Level = self == .silent ? .debug : .info
        reports.write(
            level, "client hello refused",
            {
                var metadata: Logger.Metadata = ["reason": "\(self.reason)", "client": "\(PeerText(client))"]
                if let connection { metadata["connection"] = "\(connection)" }
                if let serverName { metadata["site"] = "\(serverName)" }
                if let alert { metadata["alert"] = "\(alert.name)" }
                if case .unreadableNative(let error) = self { metadata["error"] = "\(error)" }
                if case .badProxyHeader(let error) = self { metadata["error"] = "\(error)" }
                if case .unreadable(.malformed(let error)) = self { metadata["error"] = "\(error)" }
                return metadata
            }())
    }
}
